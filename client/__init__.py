"""What ./run does, and a client of the host's API that other programs can use.

    import asyncio
    from client.api import Job, connect, server

    async def main(prompt):                          # a workflow in API form, as in workflows/api/
        async with connect(server("http://127.0.0.1:8188")) as host:
            job_id = await host.submit(prompt)       # queue it; HostError says what the host refuses
            async for event in host.stream(job_id):  # Progress after Progress, and the Job last
                print(event)
            if event.error is None:
                return [await host.download(picture) for picture in event.pictures]

`poll` asks how far a prompt is, and `cancel` stops it. Each of these is also a function in client.api for programs that
are not async: draw, submit, poll, cancel, download, ask. client.workflow puts a prompt, seed or size into a workflow.

It speaks to the ComfyUI you run, as it is. Comfy's own comfy-sdk is the alternative where Comfy Cloud or serverless is
the target, too; in front of a ComfyUI of your own it needs the comfy-api-proxy.
"""
