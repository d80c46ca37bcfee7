#!/usr/bin/env bash
# Fine-tunes a trained classifier as a fully convolutional net, with Caffe. The classifier is converted, to images
# of another size if one is given, checked, and handed to `caffe train` with its weights. Where an earlier run has
# left a snapshot, training goes on from there.
set -euo pipefail

usage() {
    cat <<'END'
usage: finetune.sh [-s HxW] [-d DIR] NET.prototxt WEIGHTS SOLVER.prototxt [CAFFE OPTIONS ...]

  -s HxW   the size of the images to train on, whose labels must fit it     [default: that of NET]
  -d DIR   where the converted files go           [default: fcn]
  -h       this text

  NET is the net for training, WEIGHTS are its caffemodel, or .caffemodel.h5. SOLVER says how to train; its `net:`
  is replaced by the converted net. What follows goes to `caffe train` as it is: -gpu all

  CAFFE=path/to/caffe and CAFFE_FCN=path/to/caffe-fcn say where the programs are, if not in the PATH.
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

# What is missing is said now, not after the work.
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

# Caffe calls its snapshots after the solver where that does not say how.
prefix=$(sed -n 's/^[[:space:]]*snapshot_prefix[[:space:]]*:[[:space:]]*["'\'']\([^"'\'']*\)["'\''].*/\1/p' "$solver")
prefix=${prefix:-${new_solver%.*}}

# The snapshot of the most iterations: PREFIX_iter_N.solverstate, or .solverstate.h5; "" where there is none.
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

# The solver of this run: the same, but for the net.
write_solver() {
    NEW_NET=$new_net awk 'match($0, /^[ \t]*net[ \t]*:[ \t]*("[^"]*"|\047[^\047]*\047)/) {
        print "net: \"" ENVIRON["NEW_NET"] "\"" substr($0, RLENGTH + 1); next } { print }' "$solver" >"$new_solver.tmp"
    mv "$new_solver.tmp" "$new_solver"
    mkdir -p "$(dirname "$prefix")"
}

snapshot=$(latest_snapshot)
if [ -n "$snapshot" ] && [ -r "$new_net" ]; then
    echo "finetune.sh: going on from $snapshot with $new_net as it is; remove the snapshots to begin anew" >&2
    write_solver
    exec "$caffe" train -solver "$new_solver" -snapshot "$snapshot" "$@"
fi
"$caffe_fcn" convert "$net" "$weights" --out-dir "$dir" --force ${size:+--input-size "$size"}
write_solver
"$caffe_fcn" check "$new_net" "$new_solver"
exec "$caffe" train -solver "$new_solver" -weights "$new_weights" "$@"
