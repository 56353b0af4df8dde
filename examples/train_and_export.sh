#!/bin/sh
# From nothing to a network that is heard: two steps of training on simulated concerts, an export, its card, its sound.
# A real training leaves out --scenes, --seconds and --steps, and takes hours. Needs: pip install 'rtsep[train,cpu]'.
set -e
rtsep train --system mask-inference --data synth --stem vocals --scenes 4 --seconds 6 --steps 2 --batch 2 --causal -o run
rtsep export run -o vocals.onnx
rtsep check vocals.onnx
rtsep scene stage --mics 2 --seconds 3
rtsep separate stage/mics -o parts --method mask-inference --set model=vocals.onnx
