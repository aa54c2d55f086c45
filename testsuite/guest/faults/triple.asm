; A fault without a usable IDT: #GP, double fault, shutdown.
; models: Westmere, barcelona
; expect: triple-fault
; manual: SDM 3A 6.15 (#DF)
%include "guest.inc"
%include "long.inc"
main:
    lidt [empty]
    ud2
    PASS
empty: dw 0
    dd 0
