"""Keeping characters apart inside the model's attention: the theory, on one page.

THE TROUBLE. A model for pictures reads its prompt in one joint attention: every token of the caption and of the picture
attends to every other. Nothing in it says that `red hair` belongs to the left one, so it may settle on the right one.

OWNERS. We wrote the prompt, so we know of every caption token whose it is: 0 is shared text, r the r-th character
(plan.CaptionToken). We laid the picture out, so we know of every image token whose region covers it (plan.coverage):
boxes, painted masks, gaps that interactions open. So one rule says who may read whom:

    a caption token reads shared text and its owner's; a character's also reads the part of the picture that its owner
    covers; an image token reads shared text and the text of those who cover it, and all of the picture.

THE BIAS. A rule is a number added to the logit of query q and key k before the softmax: 0 leaves the pair alone, minus
infinity cuts it, log(s) lets s of it through (strength, soft edges), log(w) counts a token w times (weights of tags).
The full table is [T, T] for thousands of tokens in every layer. But it has only as many different rows and columns as
there are kinds of token, so it is a product Q K^T of two thin factors (bias.Bias): with factors of E numbers a token,

    q . k + bias(q, k)  =  [q, Q(q)] . [k, K(k)]

and a plain, unmasked attention over queries and keys E wider adds it exactly and almost for free (fused.py; FlashBias,
Wu et al. 2025). Where no kernel takes such widths, the product is written out as a mask. Both are tested against a
float64 reference that states the rules anew, token by token.

THE WAY. Encoding gives an ordinary CONDITIONING entry that any node and any sampler takes, with an unpatched MODEL. The
plan rides in its `model_conds`, so the host hands it to every pass of the model with the text that it belongs to. The
entry's `control` is told of each run before its first step, and puts one wrapper around the model's passes; the
wrapper sets the host's attention override for that pass alone (carrier.py). That the layers obeyed is counted. Where
the plan is neutral, nothing is set, and the picture is the host's own bit for bit.

OTHER WAYS from one character to another, each an option of its own: the text encoder reads left to right, so strict
encodes every character behind the shared text alone; the model's refiner runs over the whole caption; the pooled vector
is of the whole prompt. What the picture tells itself is left alone, unless the option `apart` says otherwise: cut
altogether, one picture falls into several.

WHAT EACH FILE DOES, in the order to read them

    plan        the modes, what a user may change about them; all that is known of one prompt's tokens and regions; the
                rules as boolean tables
    bias        plan + size of the picture -> the two factors
    nextdit     a pass of NewBie or Lumina 2 under a plan: tells refiner, joint and image layers apart
    unet        a pass of SD1.5, SD2 or SDXL: the same in cross-attention, at every resolution
    carrier     the entry, what rides in it, the wrapper, and every sentence about what other nodes did to it
    gemma_text  segments -> features and tokens, for NewBie and Lumina 2
    clip_text   tags -> features and tokens, for SD, in chunks of 77
    encode      scene + boxes + CLIP -> positive and negative CONDITIONING: all of the above in order

Not needed to understand it: fused makes the bias fast, compiled has a pass under torch.compile (the plan as tensors, in
graphs that no other pass shares), silhouettes sees where in the picture everybody is, and the files of lora do for a
character's LoRA what all this does for its text. plan and bias need no host.
"""
