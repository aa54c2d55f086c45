#!/bin/busybox sh
# All rows' work, the same script in the guest and on the host.
#   run.sh SCALE LIST        the rows of LIST (comma separated, or "all"), in this file's order; SCALE in percent
#   run.sh SCALE =NAME       the work of one row that is more than one program, called below through `timed`
# Programs by full path: busybox prefers its own xz. A row's input is prepared outside its marks. All files in /tmp.
S=${1:-100}; L=${2:-all}
cd /tmp
export PATH=/bin:/usr/bin LD_LIBRARY_PATH=/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu
DATA=/bench/corpus.bin
n() { r=$(($1 * S / 100)); [ $r -lt 1 ] && r=1; echo $r; }
want() { [ "$L" = all ] && return 0; case ",$L," in *",$1,"*) return 0;; esac; return 1; }
shell_row() { /bench/timed $1 /bin/busybox sh /bench/run.sh $S =$1; }
micro() { want $1 && /bench/timed $1 /bench/bench $1 $(n $2); }

case $L in
=xz) /usr/bin/xz -3 -T1 -k -c c.bin >c.xz && /usr/bin/xz -d -c c.xz >c.un && md5sum <c.un && md5sum <c.xz; exit ;;
=zstd)
    for i in $(seq $(n 3)); do /usr/bin/zstd -q -f -7 c.bin -o c.zst && /usr/bin/zstd -q -d -f c.zst -o c.un || exit 1; done
    for i in $(seq $(n 10)); do /usr/bin/zstd -q -t c.zst || exit 1; done
    md5sum <c.un && md5sum <c.zst; exit ;;
=aes)
    /usr/bin/openssl enc -aes-128-cbc -K 000102030405060708090a0b0c0d0e0f -iv 00000000000000000000000000000000 \
        -in big2.bin -out big.enc && tail -c 32 big.enc | md5sum; exit ;;
=sqlite) /usr/bin/sqlite3 :memory: <work.sql; exit ;;
=cc1)
    [ $S -ge 50 ] && O=-O1 || O=-O0  # one unit is one file: small scales compile it without optimising
    /bench/cc1 -quiet -fpreprocessed $O /bench/tccpp.i -o x.s && md5sum <x.s; exit ;;
esac

if want xz; then head -c $(n 3000000) $DATA >c.bin; shell_row xz; fi
if want zstd; then head -c $(n 8000000) $DATA >c.bin; shell_row zstd; fi
if want sha256 || want aes; then
    head -c 8000000 $DATA >big1; : >big.bin; for i in $(seq $(n 8)); do cat big1 >>big.bin; done; rm big1
    want sha256 && /bench/timed sha256 /usr/bin/openssl dgst -sha256 big.bin big.bin big.bin big.bin
    if want aes; then cat big.bin big.bin >big2.bin; shell_row aes; rm -f big2.bin big.enc; fi
    rm -f big.bin
fi
want python && /bench/timed python /usr/bin/python3.11 -I -S -E /bench/work.py $(n 150)
if want sqlite; then sed "s/@N@/$(n 120000)/" /bench/work.sql.in >work.sql; shell_row sqlite; fi
want cc1 && shell_row cc1
micro matmul 25
micro matmul2 50
micro x87 30000000
micro chase 20000000
micro memcopy 500
micro repstr 3000
micro callret 800
micro dispatch 25000000
micro syscall 8000000
micro forkexec 1000
micro pipe 200000
micro fault 100
micro sigsegv 400000
micro jit 100000
micro smc 500000
echo "BENCH all end 0"
