#!/usr/bin/env bash
# Trains a segmentation net that begins with a trained classifier, with Caffe: a class for each pixel. The script lists the
# pictures and their label images, makes the nets, the solver and the first weights with `caffe-fcn segment --train`, checks
# them, and calls `caffe train`. Without Caffe it does all but the training. If an earlier run left a snapshot, the training
# continues from there.
set -euo pipefail

usage() {
    cat <<'END'
usage: segment.sh -c K [-s STYLE] [-m MEAN] [-d DIR] NET.prototxt WEIGHTS PICTURES LABELS [CAFFE OPTIONS ...]

  -c K      number of classes, with the background
  -s STYLE  skips of FCN-32s, 16s or 8s: 32s, 16s or 8s     [default: none]
  -m MEAN   mean of the training of the classifier: one value, or one for each channel, as 104,117,123     [default: none]
  -d DIR    directory for the new files     [default: segmentation]
  -h        show this text

  NET is the classifier. WEIGHTS is its caffemodel, or .caffemodel.h5. PICTURES and LABELS are directories. The labels of
  PICTURES/NAME.jpg are LABELS/NAME.png: a grey image of the same size, whose values are classes from 0; 255 does not
  count. Every tenth picture is for validation. CAFFE OPTIONS are passed to `caffe train`, for example -gpu all.

  Set CAFFE=path/to/caffe and CAFFE_FCN=path/to/caffe-fcn if the programs are not in the PATH.
END
}

fail() {
    printf 'segment.sh: %s\n' "$1" >&2
    exit "${2:-1}"
}

caffe=${CAFFE:-caffe}
caffe_fcn=${CAFFE_FCN:-caffe-fcn}
classes='' style='' mean='' dir=segmentation
while getopts :c:s:m:d:h option; do
    case $option in
        c) classes=$OPTARG ;;
        s) style=$OPTARG ;;
        m) mean=$OPTARG ;;
        d) dir=$OPTARG ;;
        h) usage; exit 0 ;;
        *) usage >&2; fail "-$OPTARG is no option, or lacks its value" 2 ;;
    esac
done
shift $((OPTIND - 1))
if [ $# -lt 4 ] || [ -z "$classes" ]; then
    usage >&2
    fail "expected -c K, NET, WEIGHTS, PICTURES and LABELS" 2
fi
if [ -n "$mean" ] && ! [[ $mean =~ ^[0-9.]+(,[0-9.]+)*$ ]]; then
    fail "-m: expected values with commas between, such as 104,117,123, found '$mean'" 2
fi
net=$1 weights=$2 pictures=$3 labels=$4
shift 4

# Check the inputs before anything is written.
command -v "$caffe_fcn" >/dev/null || fail "no program '$caffe_fcn'; install it with pip, or say with CAFFE_FCN=..."
for file in "$net" "$weights"; do
    [ -r "$file" ] || fail "$file: there is no such file, or it cannot be read"
done
for directory in "$pictures" "$labels"; do
    [ -d "$directory" ] || fail "$directory: expected a directory"
done
pictures=$(cd "$pictures" && pwd)
labels=$(cd "$labels" && pwd)
all=()
without=0
shopt -s nullglob nocaseglob
for picture in "$pictures"/*.{jpg,jpeg,png,bmp}; do
    stem=$(basename "${picture%.*}")
    if [ -r "$labels/$stem.png" ]; then
        all+=("$picture")
    else
        without=$((without + 1))
    fi
done
shopt -u nullglob nocaseglob
[ ${#all[@]} -ge 2 ] || fail "expected at least two pictures with labels, found ${#all[@]} in $pictures and $labels"
[ $without -eq 0 ] || echo "segment.sh: $without pictures have no labels, and are left out" >&2

# Begin, or go on with what is there. Caffe names the snapshots after the net.
snapshot=
most=-1
for state in "$dir"/train_val_iter_*.solverstate; do
    iterations=${state%.solverstate}
    iterations=${iterations##*_iter_}
    case $iterations in '' | *[!0-9]*) continue ;; esac
    if [ "$iterations" -gt "$most" ]; then
        snapshot=$(basename "$state") most=$iterations
    fi
done
if [ -z "$snapshot" ]; then
    mkdir -p "$dir"
    for name in train_pictures train_labels val_pictures val_labels; do
        : >"$dir/$name.txt"
    done
    count=0
    for picture in "${all[@]}"; do
        list=train
        [ $((count % 10)) -ne 0 ] || list=val
        count=$((count + 1))
        stem=$(basename "${picture%.*}")
        printf '%s 0\n' "$picture" >>"$dir/${list}_pictures.txt"
        printf '%s 0\n' "$labels/$stem.png" >>"$dir/${list}_labels.txt"
    done
    "$caffe_fcn" segment "$net" "$weights" --classes "$classes" ${style:+--style "$style"} --train --force \
        -o "$dir/deploy.prototxt" -w "$dir/start.caffemodel"

    # Fill in what the comments ask for: the folder of the lists, whose names are whole, the mean, and the number of tests.
    transform=${mean:+"  transform_param { mean_value: ${mean//,/ mean_value: } }"}
    awk -v transform="$transform" '
        /image_data_param/ { held = 1 }
        held {
            buffer = buffer $0 "\n"
            if (/source:/ && transform != "" && /_pictures[.]txt"/) print transform
            if (/root_folder:/) { sub(/root_folder: "[^"]*"/, "root_folder: \"\"", buffer); printf "%s", buffer; buffer = ""; held = 0 }
            next
        }
        { print }
    ' "$dir/train_val.prototxt" >"$dir/train_val.tmp"
    mv "$dir/train_val.tmp" "$dir/train_val.prototxt"
    tests=$(wc -l <"$dir/val_pictures.txt")
    sed "s/^test_iter: .*/test_iter: $((tests))/" "$dir/solver.prototxt" >"$dir/solver.tmp"
    mv "$dir/solver.tmp" "$dir/solver.prototxt"
    "$caffe_fcn" check --strict "$dir/train_val.prototxt" "$dir/solver.prototxt"
fi

# Train where the files are, because their names in the net and the solver begin there.
begin=(-weights start.caffemodel)
if [ -n "$snapshot" ]; then
    echo "segment.sh: continuing from $dir/$snapshot; remove the snapshots to start again" >&2
    begin=(-snapshot "$snapshot")
fi
if ! command -v "$caffe" >/dev/null; then
    echo "segment.sh: no program '$caffe'; all but the training is done. To train, run:" >&2
    echo "  cd '$dir' && caffe train -solver solver.prototxt ${begin[*]} $*"
    exit 0
fi
(cd "$dir" && "$caffe" train -solver solver.prototxt "${begin[@]}" "$@")
echo "To label the pixels of a picture with a snapshot of the training, run:"
echo "  $caffe_fcn run '$dir/deploy.prototxt' '$dir/train_val_iter_N.caffemodel' PICTURE --label-map labels.png"
