#!/bin/sh
# Makes .venv-lmms-eval, the environment in which evaluations run lmms-eval (160 MB, 1 to 2 minutes).
#
#   sh scripts/setup_lmms_eval.sh     # PYTHON=path/to/python: whose packages it shares, by default .venv/bin/python
#
# It sees the packages of the main environment (torch, transformers, datasets, ...) and adds what is missing; its own
# come first. lmms-eval is installed without its dependencies: they name torchvision, whose registry build fails to
# import beside this torch and then breaks transformers, and much that serves models and media that are not asked here.
# Does nothing when the stamp .venv-lmms-eval/installed equals what is asked for, which is written last.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
requirements="$root/scripts/requirements-lmms-eval.txt"
environment="$root/.venv-lmms-eval"
python="${PYTHON:-$root/.venv/bin/python}"
wanted="lmms-eval==0.7.3"

packages=$("$python" -c "
import sysconfig
paths = sysconfig.get_paths()
print(*dict.fromkeys([paths['purelib'], paths['platlib']]), sep='\n')")
asked=$(printf '%s\n%s\n' "$wanted $packages" "$(cat "$requirements")")
if [ -f "$environment/installed" ] && [ "$(cat "$environment/installed")" = "$asked" ]; then
    echo "lmms-eval environment is up to date: .venv-lmms-eval"
    exit 0
fi

rm -rf "$environment"
"$python" -m venv "$environment"
for site in "$environment"/lib/python*/site-packages; do
    echo "$packages" > "$site/main_environment.pth"
done
"$environment/bin/python" -m pip install --quiet --no-deps --no-warn-conflicts "$wanted"
# pip names what lmms-eval asks for and does not get; what is used of it is what the last line here imports.
"$environment/bin/python" -m pip install --quiet --no-warn-conflicts --requirement "$requirements"
"$environment/bin/python" -c "
import importlib.metadata as metadata
from lmms_eval import evaluator
print('installed lmms-eval', metadata.version('lmms-eval'))"
echo "$asked" > "$environment/installed"
