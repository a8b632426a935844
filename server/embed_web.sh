#!/bin/sh
# Prints the C file that puts the files $@ of server/web/ into the binary (web.h).
# The assembler reads them; the compiler sees two addresses of each.
set -e
printf '/* Made by server/embed_web.sh. */\n#include "server/web.h"\n\n'
i=0
for f in "$@"; do
    case ${f##*/} in
    *[!A-Za-z0-9._-]* | *.*.*.* | .*) echo "embed_web.sh: no name for a URL: $f" >&2; exit 1 ;;
    esac
    printf '__asm__(".pushsection .rodata\\n.balign 16\\nweb_file_%d: .incbin \\"%s\\"\\n"\n' $i "$f"
    printf '        "web_file_%d_end: .byte 0\\n.popsection");\n' $i
    printf 'extern const char web_file_%d[], web_file_%d_end[];\n' $i $i
    i=$((i + 1))
done
printf '\nconst struct web_file web_files[] = {\n'
i=0
for f in "$@"; do
    printf '    {"%s", web_file_%d, web_file_%d_end},\n' "${f##*/}" $i $i
    i=$((i + 1))
done
printf '};\nconst int web_files_n = %d;\n' $i
