#!/bin/sh
# Makes the sample film of the sample portrait: it grows, moves and fades, on grey. Needs ffmpeg.
set -eu
cd "$(dirname "$0")"
ffmpeg -v error -y -f lavfi -i color=0x787d82:s=480x360:r=25:d=6 -loop 1 -framerate 25 -i portrait.jpg -filter_complex "
  [1] scale = w='2*trunc((200+60*sin(2*PI*t/6-PI/2))/2)': h=-2: eval=frame,
      fade=out:110:38:alpha=1, format=yuva420p [portrait];
  [0][portrait] overlay = x='(W-w)/2+70*sin(2*PI*t/3)': y='(H-h)/2+12*sin(2*PI*t/2)': eval=frame: shortest=1" \
  -t 6 -c:v libvpx-vp9 -crf 40 -b:v 0 -pix_fmt yuv420p -an portrait.webm
