"""Build the demo and serve it: python app.py [--host ADDRESS] [--port NUMBER] [--mcp]"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from contextlib import suppress
from importlib.util import find_spec

from busi_demo.imaging.apart import decode_apart, decode_here
from busi_demo.types import InputError
from busi_demo.ui import upkeep, uploads, warm
from busi_demo.ui.accounts import read_accounts
from busi_demo.ui.guard import guarded, read_rate_limit
from busi_demo.ui.page import LAUNCH_OPTIONS, build_page

uploads.keep_files_private()
demo = build_page()  # the name that Hugging Face Spaces look for


def main() -> None:
    """Serve the page until Ctrl+C."""
    host = "0.0.0.0" if "SPACE_ID" in os.environ else "127.0.0.1"
    parser = argparse.ArgumentParser(description="Serve the breast ultrasound demo: research, not a medical device.")
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", host), help="default: %(default)s")
    port = int(os.environ.get("GRADIO_SERVER_PORT", "7860"))
    parser.add_argument("--port", type=int, default=port, help="default: %(default)s")
    parser.add_argument("--mcp", action="store_true", help="also offer the endpoints as tools to language models (MCP)")
    arguments = parser.parse_args()
    if arguments.mcp and not find_spec("mcp"):
        sys.exit('error: --mcp needs a further package: pip install "gradio[mcp]", then start again.')
    uploads.end_on_sigterm()
    decode_apart()
    logging.basicConfig(format="%(message)s")
    logging.getLogger(warm.__name__).setLevel(logging.INFO)
    try:
        _, url, _ = demo.launch(
            auth=read_accounts(),
            server_name=arguments.host,
            server_port=arguments.port,
            mcp_server=arguments.mcp,
            app_kwargs=guarded(read_rate_limit()),
            prevent_thread_lock=True,
            **LAUNCH_OPTIONS,
        )
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {arguments.host}:{arguments.port} cannot be served ({error}): choose another --port.")
    print(f"The demo runs at {url} until Ctrl+C.", flush=True)
    if arguments.mcp:
        print(f"Its tools for language models: {url}gradio_api/mcp/", flush=True)
    warm.warm_in_background()
    upkeep.keep_up_in_background(demo)
    with suppress(SystemExit, KeyboardInterrupt):  # of SIGTERM, and of a second Ctrl+C
        demo.block_thread()
    decode_here()
    uploads.end()


if __name__ == "__main__":
    main()
