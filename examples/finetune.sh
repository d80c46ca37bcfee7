#!/usr/bin/env bash
# Fine-tunes a trained classifier as a fully convolutional net, with Caffe. The script converts the classifier, for images of
# another size if one is given, checks the result, and calls `caffe train` with its weights. If an earlier run left a
# snapshot, the training continues from there.
set -euo pipefail

usage() {
    cat <<'END'
usage: finetune.sh [-s HxW] [-d DIR] NET.prototxt WEIGHTS SOLVER.prototxt [CAFFE OPTIONS ...]

  -s HxW   size of the images for the training; the labels must fit it     [default: the size of NET]
  -d DIR   directory for the converted files     [default: fcn]
  -h       show this text

  NET is the net for training. WEIGHTS is its caffemodel, or .caffemodel.h5. SOLVER is the solver; its `net:` is
  replaced by the converted net. CAFFE OPTIONS are passed to `caffe train`, for example -gpu all.

  Set CAFFE=path/to/caffe and CAFFE_FCN=path/to/caffe-fcn if the programs are not in the PATH.
END
}

fail() {
    printf 'finetune.sh: %s\n' "$1" >&2
    exit "${2:-1}"
}

caffe=${CAFFE:-caffe}
caffe_fcn=${CAFFE_FCN:-caffe-fcn}
size=
dir=fcn
while getopts :s:d:h option; do
    case $option in
        s) size=$OPTARG ;;
        d) dir=$OPTARG ;;
        h) usage; exit 0 ;;
        *) usage >&2; fail "-$OPTARG is no option, or lacks its value" 2 ;;
    esac
done
shift $((OPTIND - 1))
if [ $# -lt 3 ]; then
    usage >&2
    fail "expected NET, WEIGHTS and SOLVER, found $# of them" 2
fi
net=$1 weights=$2 solver=$3
shift 3

# Check the inputs before the conversion.
command -v "$caffe" >/dev/null || fail "no program '$caffe'; install Caffe, or say with CAFFE=... where it is"
command -v "$caffe_fcn" >/dev/null || fail "no program '$caffe_fcn'; install it with pip, or say with CAFFE_FCN=..."
for file in "$net" "$weights" "$solver"; do
    [ -r "$file" ] || fail "$file: there is no such file, or it cannot be read"
done
grep -Eq '^[[:space:]]*net[[:space:]]*:' "$solver" || fail "$solver: expected a line 'net: ...' to replace, found none"
"$caffe_fcn" check "$net" "$solver"

new_net=$dir/$(basename "$net")
new_weights=$dir/$(basename "$weights")
new_solver=$dir/$(basename "$solver")

# Without snapshot_prefix, Caffe names the snapshots after the solver.
prefix=$(sed -n 's/^[[:space:]]*snapshot_prefix[[:space:]]*:[[:space:]]*["'\'']\([^"'\'']*\)["'\''].*/\1/p' "$solver")
prefix=${prefix:-${new_solver%.*}}

# The snapshot with the most iterations: PREFIX_iter_N.solverstate, or .solverstate.h5; "" if there is none.
latest_snapshot() {
    local state iterations latest= most=-1
    for state in "$prefix"_iter_*.solverstate "$prefix"_iter_*.solverstate.h5; do
        iterations=${state%.h5}
        iterations=${iterations%.solverstate}
        iterations=${iterations##*_iter_}
        case $iterations in '' | *[!0-9]*) continue ;; esac
        if [ "$iterations" -gt "$most" ]; then
            latest=$state most=$iterations
        fi
    done
    printf '%s' "$latest"
}

# Write the solver of this run: the given solver with the converted net.
write_solver() {
    NEW_NET=$new_net awk 'match($0, /^[ \t]*net[ \t]*:[ \t]*("[^"]*"|\047[^\047]*\047)/) {
        print "net: \"" ENVIRON["NEW_NET"] "\"" substr($0, RLENGTH + 1); next } { print }' "$solver" >"$new_solver.tmp"
    mv "$new_solver.tmp" "$new_solver"
    mkdir -p "$(dirname "$prefix")"
}

snapshot=$(latest_snapshot)
if [ -n "$snapshot" ] && [ -r "$new_net" ]; then
    echo "finetune.sh: continuing from $snapshot with the existing $new_net; remove the snapshots to start again" >&2
    write_solver
    exec "$caffe" train -solver "$new_solver" -snapshot "$snapshot" "$@"
fi
"$caffe_fcn" convert "$net" "$weights" --out-dir "$dir" --force ${size:+--input-size "$size"}
write_solver
"$caffe_fcn" check "$new_net" "$new_solver"
exec "$caffe" train -solver "$new_solver" -weights "$new_weights" "$@"
