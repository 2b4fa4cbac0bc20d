#!/usr/bin/env bash
# Runs the tests that another version of a package could break, in one environment for each set of versions:
#
#     reproduction/versions.sh FOLDER [oldest | newest | CONSTRAINTS]... | tee reproduction/versions.txt
#
# `oldest` has every package that pyproject.toml names at its lower bound, `newest` the newest of all, and constraints
# ("torch==2.9.0 timm==1.0.9") the newest that go with these; where none is named, oldest and newest. FOLDER receives the
# environments (6 GB each) and the whole output; an environment that is there is used as it is, and a group of tests that has
# passed there with the same versions, code and tests is not run again. Needs uv (`pip install uv`), whose resolver finds the
# lower bounds. PYTHON names the interpreter, BEFORE a command to run each group of tests under, and ONLY a part of the names
# of those to run; MATRIX chooses recipes of the matrix as pytest's -k does.
set -uo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath -m "$1")
shift
[ $# -gt 0 ] || set -- oldest newest
groups=(
  "functions, routes, schedules  tests/functional tests/test_routes.py tests/test_schedules.py tests/test_batching.py"
  "groups and tasks              $(echo tests/test_{group,checks,loaders,ownership,peers,shipping,state,soups,ensembling}.py tests/test_task*.py)"
  "engine                        tests/_engine"
  "objectives, teachers, layers  tests/objectives tests/teachers tests/layers"
  "recipes                       $(ls tests/recipes/test_*.py | grep -v test_matrix)"
  "matrix of recipes             tests/recipes/test_matrix.py"
  "networks, formats             tests/models tests/formats"
  "integrations, ecosystem       tests/integrations tests/test_ecosystem.py tests/test_loops.py"
  "training                      $(echo tests/training/test_{checkpoints,export,fit,methods,module,own_parts,resume,schedulers,text_run}.py)"
  "data                          $(echo tests/data/test_{augment,images,labels,loader}.py)"
)
failed=0
mkdir -p "$folder"
for wanted in "$@"; do
  venv=$folder/${wanted// /_}
  python=$venv/bin/python
  log=$venv.log
  if [ ! -e "$venv" ]; then
    options=() constraints=()
    case $wanted in
      oldest) options=(--resolution lowest-direct) ;;
      newest) ;;
      *) read -ra constraints <<<"$wanted" ;;
    esac
    if ! { uv venv -q --python "${PYTHON:-python3}" "$venv" &&
      uv pip install -q --python "$python" "${options[@]}" -e '.[test]' "${constraints[@]}"; } >"$log" 2>&1; then
      rm -rf "$venv"
      echo "$wanted: not installed, see $log"
      failed=1
      continue
    fi
  fi
  versions=$("$python" -c '
import platform, importlib.metadata as m
names = "torch torchvision timm transformers lightning accelerate optuna jsonargparse datasets numpy".split()
print("Python", platform.python_version() + "".join(f", {name} {m.version(name)}" for name in names))')
  echo "$wanted: $versions"
  for group in "${groups[@]}"; do
    name=${group%%  *}
    [[ $name == *"${ONLY:-}"* ]] || continue
    tests=(${group#"$name"})
    [ "${tests[*]}" != tests/recipes/test_matrix.py ] || tests+=(-k "${MATRIX:-test}")
    key=$(echo "$versions ${tests[*]}" "$(git rev-parse HEAD:src HEAD:tests)" "$(git diff HEAD -- src tests)" | sha256sum)
    line=$(grep -s "^$key" "$venv.passed" | tail -1 | cut -c "$((${#key} + 2))-")
    if [ -z "$line" ]; then
      if PYTHONPATH=$PWD/src:$PWD OMP_NUM_THREADS=1 ${BEFORE:-} "$python" -m pytest "${tests[@]}" -q -p no:cacheprovider \
        -o filterwarnings= --disable-warnings >>"$log" 2>&1; then  # older packages use what others have deprecated since
        line=$(tail -1 "$log" | tr -d =)
        echo "$key $line" >>"$venv.passed"
      else
        line=$(tail -1 "$log" | tr -d =)
        failed=1
      fi
    fi
    printf '  %-30s %s\n' "$name" "$line"
  done
done
exit $failed
