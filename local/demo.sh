#!/bin/sh
# Makes local/demo.flv, the test picture and tone that `make run` publishes as live/demo. Needs ffmpeg with libx264 and the
# font DejaVu Sans Bold (Debian: ffmpeg, fonts-dejavu-core).
#
# 4.8 s are 120 video frames at 25 fps and 225 AAC frames at 48 kHz: both tracks end together, so the loop has no seam. A
# key frame, a note and a white square come together every 0.96 s: sound and picture out of step can be seen and heard. No
# B-frames, so any decoder starts at once.
set -eu
cd "$(dirname "$0")"
font=/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf
beat=0.96
length=4.8
ffmpeg -hide_banner -loglevel error -y \
  -f lavfi -i "color=c=0x0d1b2a:s=640x360:r=25:d=$length" \
  -f lavfi -i "smptehdbars=s=640x360:r=25:d=$length" \
  -f lavfi -i "color=c=0x5eead4:s=88x10:r=25:d=$length" \
  -f lavfi -i "color=c=white:s=40x40:r=25:d=$length" \
  -f lavfi -i "aevalsrc='0.15*sin(2*PI*(262*eq(floor(t/$beat),0)+330*eq(floor(t/$beat),1)+392*eq(floor(t/$beat),2)+523*eq(floor(t/$beat),3)+392*gte(floor(t/$beat),4))*t)*min(1,60*mod(t,$beat))*exp(-4*mod(t,$beat))*min(1,20*($beat-mod(t,$beat)))':s=48000:d=$length" \
  -filter_complex "\
[1:v]crop=640:200:0:0,scale=640:120[bars];\
[0:v][bars]overlay=0:0[a];\
[a]drawtext=fontfile=$font:text=livecluster:fontsize=56:fontcolor=white:x=(w-tw)/2:y=170,\
drawtext=fontfile=$font:text='test picture and tone':fontsize=20:fontcolor=0x9fb3c8:x=(w-tw)/2:y=246,\
drawbox=x=40:y=308:w=560:h=10:color=0x1b3a4b:t=fill[b];\
[b][2:v]overlay=x='40+236*(1-cos(2*PI*t/$length))':y=308[c];\
[c][3:v]overlay=x=560:y=180:enable='lt(mod(t,$beat),0.16)'[v]" \
  -map "[v]" -map 4:a \
  -c:v libx264 -profile:v main -preset veryslow -bf 0 -g 24 -keyint_min 24 -sc_threshold 0 -crf 25 -pix_fmt yuv420p \
  -c:a aac -b:a 32k -ac 1 -ar 48000 \
  -flvflags no_duration_filesize -map_metadata -1 -fflags +bitexact -flags:v +bitexact -flags:a +bitexact \
  -f flv demo.flv
ls -l demo.flv
