#!/usr/bin/env bash
# Runs the core's tests on other versions of torch and of the packages of `studygroup[train,text]`, each in a virtual
# environment of its own, and prints one line a version:
#
#     reproduction/versions.sh FOLDER "torch==2.6.0 torchvision==0.21.0 lightning==2.4.0 timm==1.0.3" "torch==2.11.0 ..."
#
# FOLDER receives the environments (about 6 GB each with a CUDA build of torch) and the logs; an environment that is there is
# used as it is. PYTHON names the interpreter, TESTS other tests.
set -uo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath -m "$1")
shift
tests=${TESTS:-tests/functional tests/layers tests/teachers tests/objectives tests/_engine tests/models tests/recipes
  tests/integrations tests/test_batching.py tests/test_checks.py tests/test_group.py tests/test_loaders.py
  tests/test_ownership.py tests/test_peers.py tests/test_routes.py tests/test_schedules.py tests/test_shipping.py
  tests/test_state.py $(ls tests/test_task*.py)}
others="accelerate beartype datasets hypothesis jaxtyping jsonargparse[signatures]>=4.49 lightning optuna pytest pytest-xdist
  pyyaml safetensors scikit-learn scipy sentencepiece sqlalchemy tensorboard timm torchvision transformers xxhash jinja2 matplotlib"
mkdir -p "$folder"
failed=0
for wanted in "$@"; do
  name=${wanted// /_}
  venv=$folder/$name
  log=$folder/$name.log
  if [ ! -e "$venv/whole" ]; then
    "${PYTHON:-python3}" -m venv "$venv" && "$venv/bin/pip" install $wanted >"$log" 2>&1 &&
      "$venv/bin/pip" freeze | grep -iE '^(torch|torchvision|lightning|timm|transformers|accelerate)==' >"$venv/given.txt" &&
      "$venv/bin/pip" install -c "$venv/given.txt" $others >>"$log" 2>&1 && touch "$venv/whole"
  fi
  if [ ! -e "$venv/whole" ]; then
    echo "$wanted: not installed, see $log"
    failed=1
    continue
  fi
  PYTHONPATH=$PWD/src:$PWD OMP_NUM_THREADS=1 "$venv/bin/python" -m pytest $tests -q -n 2 -p no:cacheprovider >"$log" 2>&1 || failed=1
  echo "$wanted: $(tail -1 "$log")"
done
exit $failed
