; The state after RESET, seen by the first instructions of a ROM.
; models: Westmere, barcelona
; start: reset
; manual: SDM 3A 9.1.1 (table 9-1), 9.1.4
bits 16
org 0
%macro CHECK 2                          ; condition, number
    j%1 %%ok
    mov eax, %2
    jmp done
%%ok:
%endmacro
start:
    mov ebx, eax                        ; 0: the self-test passed
    mov ebp, esp
    test ebx, ebx
    CHECK z, 1
    test ebp, ebp
    CHECK z, 2
    test edx, edx                       ; family, model, stepping
    CHECK nz, 3
    mov ax, cs
    cmp ax, 0xF000
    CHECK e, 4
    ; the base of CS is FFFF0000H: this ROM is below 4 GiB, and a CS override reads it
    cmp dword [cs:marker], 0x600DF00D
    CHECK e, 5
    mov ax, ds
    or ax, ax
    CHECK z, 6
    mov ax, ss
    or ax, ax
    CHECK z, 7
    mov eax, cr0
    cmp eax, 0x60000010                 ; CD, NW, ET
    CHECK e, 8
    mov eax, cr2
    test eax, eax
    CHECK z, 9
    mov eax, cr3
    test eax, eax
    CHECK z, 10
    mov eax, cr4
    test eax, eax
    CHECK z, 11
    mov eax, dr6
    cmp eax, 0xFFFF0FF0
    CHECK e, 12
    mov eax, dr7
    cmp eax, 0x400
    CHECK e, 13
    mov sp, 0x1000
    sidt [0x500]
    cmp word [0x500], 0xFFFF
    CHECK e, 14
    sgdt [0x500]
    cmp word [0x500], 0xFFFF
    CHECK e, 15
    pushfd
    pop eax
    cmp eax, 0x46                       ; bit 1 and what CMP left (ZF, PF)
    CHECK e, 16
    mov ecx, 0x1B
    rdmsr
    cmp eax, 0xFEE00900                 ; enabled, bootstrap processor
    CHECK e, 17
    ; a far jump gives CS an ordinary base: the same ROM below 1 MiB
    jmp 0xF000:below
below:
    cmp dword [cs:marker], 0x600DF00D
    CHECK e, 18
    fnstcw [0x500]                      ; the x87 control word after RESET
    cmp word [0x500], 0x40
    CHECK e, 19
    xor eax, eax
done:
    out 0xF4, eax
    hlt
marker: dd 0x600DF00D
    times 0xFFF0 - ($ - $$) db 0
    jmp near start
    times 0x10000 - ($ - $$) db 0
