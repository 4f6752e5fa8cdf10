"""Segments of text + CLIP -> caption features, for the encoders of NewBie (Gemma and Jina) and Lumina 2 (Gemma).

Encoding tells of every token whose it is, how much it weighs and which gender it names: the tokens' bytes are laid
along the text, and a token has the mark of the part of the text with which it shares a letter.

No entry carries an attention_mask: nothing is padded, and padded masks are broken on several versions of the host.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise, takewhile
from typing import TYPE_CHECKING, Any, TypeVar
from unicodedata import normalize

import torch
from torch import Tensor

from ..xml_prompt import SHARED, Segment, gender_spans, text_of
from .plan import CaptionToken

if TYPE_CHECKING:  # the lab uses what is pure here
    from comfy.sd import CLIP
    from sentencepiece import SentencePieceProcessor

    from .lora import Worn

Mark = TypeVar("Mark", float, str, int)
SPACE = "\u2581"  # how sentencepiece writes a space within a piece
Token = tuple[Any, float]  # the host's (id or embedding, weight)
LUMINA = "gemma2_2b"  # the host's name for Lumina 2's encoder; there is no pooled vector
GEMMAS_START, JINAS_START = 2, 0  # ids; in the other's vocabulary they are an end and padding, and begin no text


def tokens_of(clip: CLIP, text: str) -> dict[str, list[list[Token]]]:
    """Both encoders' tokens, parentheses read as text by both. Lumina 2 has Gemma alone, and no jina here.

    Raises ValueError if the CLIP is another model's.
    """
    tokens = clip.tokenize(text, disable_weights=True)
    if tokens.keys() == {LUMINA}:
        return {"gemma": tokens[LUMINA], "jina": []}
    if not {"gemma", "jina"} <= tokens.keys():
        raise ValueError(
            f"This CLIP ({' and '.join(tokens)}) can't encode isolated characters: use NewBie's from NewBie Loader, or "
            "from DualCLIPLoader with the type newbie, or the CLIP of Lumina 2, SD1.5, SD2 or SDXL, or set the mode "
            "to off."
        )
    starts = tuple(tokens[name][0][0][0] for name in ("gemma", "jina"))
    if starts[0] == JINAS_START or starts[1] == GEMMAS_START:
        raise ValueError(
            "This CLIP's tokenizers are mixed up; DualCLIPLoader does this when given the same file twice or one it "
            "cannot read: choose Gemma 3 4B and Jina CLIP v2 there, or use NewBie Loader, which says what is wrong "
            "with a file."
        )
    refuse_clip_skip(clip, tokens)
    return tokens


def refuse_clip_skip(clip: CLIP, tokens: dict[str, list[list[Token]]]) -> None:
    """Jina CLIP gives the host no layer but its last. Raises ValueError where another was asked of it."""
    if "jina" in tokens and clip.layer_idx is not None:
        raise ValueError("NewBie's text encoders have no clip skip: remove CLIP Set Last Layer.")


Text = tuple[list[Token], list[int]]  # Gemma's tokens, and whose LoRAs act on each


def start_token(clip: CLIP) -> list[Token]:
    return tokens_of(clip, "")["gemma"][0][:1]


def together(gemma: list[Token], jina: list[list[Token]]) -> dict[str, list[list[Token]]]:
    """As the host's encode takes them."""
    return {"gemma": [gemma], "jina": jina} if jina else {LUMINA: [gemma]}


def without_mask(found: Encoded) -> Encoded:
    features, extra = found
    return features, {name: value for name, value in extra.items() if name != "attention_mask"}


def encode_texts(clip: CLIP, texts: Sequence[Text], pooled: str, worn: Worn | None) -> tuple[list[Tensor], Any]:
    """Each text by itself, causally -> their features [1, L, D], and the entry's other values of `pooled`.

    The host's encode reads with both encoders at once: pooled goes along with the first text that is not kept, and
    empty text with the others.
    """
    jina, nothing = tokens_of(clip, pooled)["jina"], tokens_of(clip, "")["jina"]
    keys = [kept_as(clip, {"gemma": [text]}, worn, owners) for text, owners in texts]
    vectors = kept_as(clip, {"jina": jina}, worn, ())
    found, extra = [kept(clip, key) for key in keys], kept(clip, vectors)
    for number, (text, owners) in enumerate(texts):
        wanted = extra is None
        if found[number] is None or (wanted and number == len(texts) - 1):
            new = without_mask(read(clip, together(text, jina if wanted else nothing), worn, owners))
            found[number] = found[number] or keep(clip, keys[number], new)
            extra = extra or keep(clip, vectors, (new[0][:, :0], new[1]))
    return [features for features, _ in found], extra[1]


@dataclass
class Reader:
    """Reads segments, and notes what is known of every caption token, in their order; the first is the start token."""

    clip: CLIP
    genders: bool  # whether words of gender are looked for
    worn: Worn | None = None  # LoRAs of the text encoders
    tokens: list[CaptionToken] = field(default_factory=lambda: [CaptionToken()])

    def read(self, segment: Segment) -> list[Token]:
        """The segment's own tokens, noted."""
        own = tokens_of(self.clip, segment.text)["gemma"][0][1:]
        self.note(segment, [token for token, _ in own], [segment.owner] * len(own))
        return own

    def read_jointly(self, segments: Sequence[Segment]) -> list[Token]:
        """The tokens of the segments' text read as one, noted.

        A token may hold the end of one segment and the start of the next, which read apart would be other tokens than
        the model knows. Where nobody can tell what a token stands for, they are read apart all the same.
        """
        whole = as_one(segments)
        own = tokens_of(self.clip, whole.text)["gemma"][0][1:]
        ids = [token for token, _ in own]
        try:
            owners = token_owners(self.clip, segments, ids)
        except ValueError:
            return [token for segment in segments for token in self.read(segment)]
        self.note(whole, ids, owners)
        return own

    def note(self, segment: Segment, ids: Sequence[int], owners: Sequence[int]) -> None:
        weights = token_weights(self.clip, segment, ids)
        genders = token_genders(self.clip, segment, ids) if self.genders else [""] * len(ids)
        self.tokens += map(CaptionToken, owners, weights, genders)


def encode_apart(clip: CLIP, segments: Sequence[Segment], reader: Reader, pooled: str) -> Encoded:
    """-> features of [start | prefix | every other segment, each read behind the prefix alone], extra.

    Gemma is causal: the prefix reads the same in front of the first of them as by itself, and is not read alone.
    """
    shared = len(list(takewhile(lambda segment: segment.owner == SHARED, segments)))
    head = start_token(clip)
    for segment in segments[:shared]:
        head = head + reader.read(segment)
    everyones = [SHARED] * len(head)
    texts = [
        (head + own, everyones + [segment.owner] * len(own))
        for segment in segments[shared:]
        for own in [reader.read(segment)]
    ]
    features, extra = encode_texts(clip, texts or [(head, everyones)], pooled, reader.worn)
    return torch.cat([features[0], *(one[:, len(head) :] for one in features[1:])], 1), extra


def encode_jointly(clip: CLIP, segments: Sequence[Segment], reader: Reader, pooled: str) -> Encoded:
    """-> features of all segments read as one text, the host's own tokens of it, extra."""
    gemma = start_token(clip) + reader.read_jointly(segments)
    owners = [token.owner for token in reader.tokens]
    (features,), extra = encode_texts(clip, [(gemma, owners)], pooled, reader.worn)
    return features, extra


# --- which tokens a part of a text became ----------------------------------------------------------------------------


def token_bytes(clip: CLIP, ids: Sequence[int]) -> list[bytes]:
    """What each of Gemma's tokens stands for, in UTF-8. Raises ValueError where one stands for no text."""
    gemma = clip.tokenizer.gemma if hasattr(clip.tokenizer, "gemma") else clip.tokenizer.gemma2_2b  # NewBie, Lumina 2
    return piece_bytes(gemma.tokenizer.tokenizer, ids)  # the host's SPieceTokenizer holds sentencepiece's own


def piece_bytes(processor: SentencePieceProcessor, ids: Sequence[int]) -> list[bytes]:
    """As token_bytes."""
    pieces = []
    for token in ids:
        if token >= processor.get_piece_size():
            raise ValueError("part of this text is a special word of the text encoder (<image_soft_token>)")
        piece = processor.id_to_piece(token)
        pieces.append(bytes([int(piece[1:-1], 16)]) if processor.is_byte(token) else piece.encode())
    return pieces


def places_of(text: str, stream: bytes) -> list[int]:
    """Where in the stream of all tokens' bytes every character of text begins, and the end. Raises ValueError.

    stream: without SPACE. A vocabulary may write white space in another way, or none, and characters in their
    compatibility form (NFKC), as the mini's does.
    """
    places = [0]
    for character in text:
        for form in forms_of(character):
            written = form.encode()
            if stream.startswith(written, places[-1]):
                places.append(places[-1] + len(written))
                break
        else:
            raise ValueError("the text encoder normalises part of this text")
    if places[-1] != len(stream):
        raise ValueError("the text encoder normalises part of this text")
    return places


def forms_of(character: str) -> Iterator[str]:
    """As it is, nearly always; the others are made only where that is not found."""
    yield character
    yield without_space(character)
    yield without_space(normalize("NFKC", character))


def without_space(text: str) -> str:
    return "".join(text.replace(SPACE, " ").split())


def marked(pieces: Sequence[bytes], text: str, spans: Iterable[tuple[int, int, Mark]], none: Mark) -> list[Mark]:
    """One mark a token of text: that of the last span with which it shares a letter, or `none`. Raises ValueError.

    pieces: what each token stands for, in UTF-8.
    """
    marks = [none] * len(pieces)
    pieces = [piece.replace(SPACE.encode(), b"") for piece in pieces]
    places = places_of(text, b"".join(pieces))
    spans = list(spans)
    for index, (start, end) in enumerate(pairwise(accumulate(map(len, pieces), initial=0))):
        for first, last, mark in spans:
            if places[first] < end and start < places[last]:  # or a space within the span: start is end there
                marks[index] = mark
    return marks


def marks_in(
    clip: CLIP, segment: Segment, ids: Sequence[int], spans: Iterable[tuple[int, int, Mark]], none: Mark
) -> list[Mark]:
    """As marked; without spans nothing is looked for. Raises ValueError."""
    spans = list(spans)
    return marked(token_bytes(clip, ids), segment.text, spans, none) if spans else [none] * len(ids)


def token_owners(clip: CLIP, segments: Sequence[Segment], ids: Sequence[int]) -> list[int]:
    """Whose each token of the segments' joined text is; SHARED for white space between two. Raises ValueError."""
    return marked(token_bytes(clip, ids), text_of(segments), owned_spans(segments), SHARED)


def owned_spans(segments: Sequence[Segment]) -> list[tuple[int, int, int]]:
    """Start, end and owner of each segment in the joined text."""
    edges = pairwise(accumulate((len(segment.text) for segment in segments), initial=0))
    return [(start, end, segment.owner) for (start, end), segment in zip(edges, segments, strict=True)]


def as_one(segments: Sequence[Segment]) -> Segment:
    """All segments as one of shared text, weights in their places."""
    starts = [start for start, _, _ in owned_spans(segments)]
    weighted = tuple(
        replace(span, start=start + span.start, end=start + span.end)
        for start, segment in zip(starts, segments, strict=True)
        for span in segment.weighted
    )
    return Segment(SHARED, text_of(segments), weighted)


def token_weights(clip: CLIP, segment: Segment, ids: Sequence[int]) -> list[float]:
    """The weight of each of the segment's tokens. Raises ValueError, one sentence."""
    try:
        return marks_in(clip, segment, ids, ((s.start, s.end, s.weight) for s in segment.weighted), 1.0)
    except ValueError as problem:
        raise ValueError(
            f"Weights can't be applied: {problem}. Remove that part, or the weights."
        ) from problem


def token_genders(clip: CLIP, segment: Segment, ids: Sequence[int]) -> list[str]:
    """The gender that each of the segment's tokens names, or "". Raises ValueError, one sentence."""
    try:
        return marks_in(clip, segment, ids, gender_spans(segment.text), "")
    except ValueError as problem:
        raise ValueError(
            f"gender_strength can't be applied: {problem}. Remove that part, or set gender_strength to 0."
        ) from problem


# What an encoder made of a text, kept for the next prompt: a character that has not changed is not read again. The
# tensors lie where the host puts what its encoders give: in main memory, unless it is started with --gpu-only.

Encoded = tuple[Tensor, dict[str, Any]]  # features [1, L, D], the entry's other values

_ATTRIBUTE = "newbie_encoded"  # on clip.cond_stage_model: kept as long as the encoder, and by its clones
# Bytes of all kept tensors together. Gemma's 2,560 float32 numbers make 10 KiB a token: room for 26,000 tokens, dozens
# of long prompts with all their characters, and little beside encoders of 9 GB.
LIMIT = 256 * 2**20


def key_of(clip: CLIP, tokens: dict[str, Any]) -> Hashable | None:
    """What the encoding depends on; None where it can't be told (embeddings in the text, hooks on the encoder)."""
    if clip.patcher.forced_hooks is not None or clip.apply_hooks_to_conds is not None:
        return None
    if not all(isinstance(own, list) for own in tokens.values()):  # some encoders' tokens are more than text
        return None
    ids = tuple((name, tuple(tuple(tuple(token) for token in batch) for batch in own)) for name, own in tokens.items())
    if not all(isinstance(token[0], int) for _, own in ids for batch in own for token in batch):
        return None
    replaced = clip.patcher.object_patches.items()  # modules and settings
    if not all(isinstance(patch, Hashable) for _, patch in replaced):
        return None
    return clip.patcher.patches_uuid, clip.layer_idx, frozenset(replaced), ids  # a LoRA gives the patcher another uuid


def kept_as(clip: CLIP, tokens: dict[str, Any], worn: Worn | None, owners: Sequence[int]) -> Hashable | None:
    """What the encoding by LoRAs depends on, too."""
    key = key_of(clip, tokens)
    return None if key is None else (key, worn and worn.text_key([owners]))


class Texts(OrderedDict[Hashable, "Encoded"]):
    """What was read, the longest unused first, and how many bytes it takes."""

    size = 0

    def put(self, key: Hashable, entry: Encoded) -> None:
        self.size += size_of(entry) - (size_of(self.pop(key)) if key in self else 0)
        self[key] = entry
        while self.size > LIMIT:
            self.size -= size_of(self.popitem(last=False)[1])


def read_by(clip: CLIP) -> Texts:
    texts = getattr(clip.cond_stage_model, _ATTRIBUTE, None)
    if texts is None:
        texts = Texts()
        setattr(clip.cond_stage_model, _ATTRIBUTE, texts)
    return texts


def kept(clip: CLIP, key: Hashable | None) -> Encoded | None:
    """A copy: its readers may write on it."""
    texts = read_by(clip)
    if key not in texts:
        return None
    texts.move_to_end(key)
    return copied(texts[key])


def keep(clip: CLIP, key: Hashable | None, new: Encoded) -> Encoded:
    """-> new. Those unused for the longest make room; what alone is over the limit is not kept."""
    if key is not None and size_of(new) <= LIMIT:
        read_by(clip).put(key, copied(new))
    return new


def copied(entry: Encoded) -> Encoded:
    features, extra = entry
    return features.clone(), {k: v.clone() if isinstance(v, Tensor) else v for k, v in extra.items()}


def read(clip: CLIP, tokens: dict[str, Any], worn: Worn | None, owners: Sequence[int]) -> Encoded:
    """The host's encode_from_tokens. worn: LoRAs of the encoders, each on the tokens of its owners; without owners all

    are everyone's.
    """
    with worn.reading(clip, [owners]) if worn else nullcontext():
        extra = clip.encode_from_tokens(tokens, return_pooled=True, return_dict=True)
    return extra.pop("cond"), extra


def encoded(clip: CLIP, tokens: dict[str, Any], worn: Worn | None = None, owners: Sequence[int] = ()) -> Encoded:
    """As read, or what that gave for the same tokens and weights of the encoder before."""
    key = kept_as(clip, tokens, worn, owners)
    return kept(clip, key) or keep(clip, key, read(clip, tokens, worn, owners))


def size_of(entry: Encoded) -> int:
    """The bytes of its tensors."""
    features, extra = entry
    return sum(value.nbytes for value in (features, *extra.values()) if isinstance(value, Tensor))
