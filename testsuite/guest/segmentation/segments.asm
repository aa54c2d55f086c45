; Segment loads, limits, expand-down, null selectors, accessed bit, LAR, LSL, VERR, VERW, ARPL.
; models: Westmere, barcelona
; manual: SDM 3A 3.4.5, 5.3, 5.5, 5.6, 5.10
%include "guest.inc"
%include "long.inc"

main:
    ; Limits: byte granular
    SET_DESC FREESEL, 0x00409200, 0x00000FFF ; base 0, limit FFFH
    mov eax, FREESEL
    mov fs, ax
    mov eax, [fs:0xFFC]
    EXPECT_FAULT 13, 0, {mov eax, [fs:0xFFD]}
    EXPECT_FAULT 13, 0, {mov al, [fs:0x1000]}
    EXPECT_FAULT 13, 0, {mov [fs:0xFFFFFFFF], al}
    EXPECT_BITS [gdt + FREESEL + 4], 0x100, 0x100 ; accessed
    mov al, [fs:0xFFF]
    ; page granular
    SET_DESC FREESEL, 0x00C09200, 0x00000000 ; limit 0 pages = FFFH
    mov ecx, FREESEL
    mov fs, cx
    mov al, [fs:0xFFF]
    EXPECT_FAULT 13, 0, {mov al, [fs:0x1000]}
    ; expand-down: valid above the limit, up to FFFFH or FFFFFFFFH
    SET_DESC FREESEL, 0x00009600, 0x00001000
    mov fs, cx
    EXPECT_FAULT 13, 0, {mov al, [fs:0x1000]}
    mov al, [fs:0x1001]
    mov al, [fs:0xFFFF]
    EXPECT_FAULT 13, 0, {mov al, [fs:0x10000]}
    EXPECT_FAULT 13, 0, {mov ax, [fs:0xFFFF]}
    SET_DESC FREESEL, 0x00409600, 0x00001000
    mov fs, cx
    mov al, [fs:0x10000]
    ; the stack segment: #SS(0)
    SET_DESC FREESEL, 0x00429200, 0x0000FFFF
    mov ss, cx
    EXPECT_FAULT 12, 0, {mov al, [ss:0x30000]}
    mov ss, cx
    EXPECT_FAULT 12, 0, {mov al, [ebp + 0x30000]}
    mov eax, DATA32
    mov ss, ax
    xor ebp, ebp

    ; read-only data, execute-only and readable code
    SET_DESC FREESEL, 0x00CF9000, 0x0000FFFF
    mov fs, cx
    mov al, [fs:SCRATCH]
    EXPECT_FAULT 13, 0, {mov [fs:SCRATCH], al}
    EXPECT_FAULT 13, FREESEL, mov ss, cx
    SET_DESC FREESEL, 0x00CF9800, 0x0000FFFF
    EXPECT_FAULT 13, FREESEL, mov fs, cx     ; not readable
    SET_DESC FREESEL, 0x00CF9A00, 0x0000FFFF
    mov fs, cx
    mov al, [fs:SCRATCH]
    EXPECT_FAULT 13, 0, {mov [fs:SCRATCH], al}
    EXPECT_FAULT 13, 0, {mov [cs:SCRATCH], al}
    mov al, [cs:SCRATCH]

    ; null selectors load, but do not serve
    xor eax, eax
    mov fs, ax
    EXPECT_FAULT 13, 0, {mov al, [fs:0]}
    mov eax, 3
    mov gs, ax
    mov bx, gs
    EXPECT_EQ bx, 3
    EXPECT_FAULT 13, 0, {mov [gs:0], al}

    ; privilege of data segments: max(CPL, RPL) <= DPL; conforming code is free
    mov ecx, DATA32 | 3
    EXPECT_FAULT 13, DATA32, mov fs, cx
    mov ecx, DATA32
    EXPECT_USER 13, DATA32, mov fs, cx
    SET_DESC FREESEL, 0x00CF9E00, 0x0000FFFF ; conforming, readable, DPL 0
    mov ecx, FREESEL | 3
    EXPECT_USER NO_FAULT, 0, mov fs, cx
    ; a conforming segment can be called from ring 3 and CPL stays 3
    mov dword [FREE], .conforming
    mov word [FREE + 4], FREESEL
    CATCH .conf_done
    go_user_ .conf_user
.conf_user:
    jmp far [FREE]
.conforming:
    mov ax, cs
    hlt
.conf_done:
    EXPECT_EXC 13, 0, 0
    EXPECT_EQ dword [exc_cs], FREESEL | 3
    EXPECT_EQ ax, FREESEL | 3
    ; leaving ring 0 makes its data segments null (return to outer level)
    mov eax, DATA32
    mov gs, ax
    mov eax, DATA32U
    mov fs, ax
    EXPECT_USER 13, 0, {mov al, [gs:SCRATCH]}
    mov ax, gs
    EXPECT_EQ ax, 0
    mov ax, fs
    EXPECT_EQ ax, DATA32U

    ; LAR, LSL, VERR, VERW
    mov ecx, DATA32
    lar eax, cx
    EXPECT_IF z
    and eax, ~0xF0000                   ; undefined
    EXPECT_EQ eax, 0x00C09300
    lsl eax, cx
    EXPECT_IF z
    EXPECT_EQ eax, 0xFFFFFFFF
    lar ax, cx
    EXPECT_EQ ax, 0x9300
    mov ecx, TSSSEL
    lsl eax, cx
    EXPECT_IF z
    EXPECT_EQ eax, 0x2067
    verr cx
    EXPECT_IF nz
    xor ecx, ecx
    lar eax, cx
    EXPECT_IF nz
    mov ecx, 0x1F8 + 0x100
    lsl eax, cx
    EXPECT_IF nz
    mov ecx, CODE32
    verr cx
    EXPECT_IF z
    verw cx
    EXPECT_IF nz
    mov ecx, DATA32 | 3
    verw cx
    EXPECT_IF nz
    SET_DESC FREESEL, 0x0000E400, 0x00080000 ; an interrupt-gate-like type: 286 call gate, DPL 3
    mov ecx, FREESEL
    lar eax, cx
    EXPECT_IF z
    lsl eax, cx
    EXPECT_IF nz
    SET_DESC FREESEL, 0x00008E00, 0x00080000 ; interrupt gate: not for LAR
    lar eax, cx
    EXPECT_IF nz
    ; ARPL
    mov eax, 0x10
    mov ecx, 0x1B
    arpl ax, cx
    EXPECT_IF z
    EXPECT_EQ eax, 0x13
    arpl ax, cx
    EXPECT_IF nz

    ; LDT
    SET_DESC FREESEL, 0x00008203, 0x00000017 ; at 30000H, three entries
    mov dword [0x30008], 0x0000FFFF
    mov dword [0x3000C], 0x00CF9200
    mov ecx, FREESEL
    lldt cx
    mov ecx, 0xC
    mov fs, cx
    mov al, [fs:SCRATCH]
    EXPECT_BITS [0x3000C], 0x100, 0x100
    mov ecx, 0x1C
    EXPECT_FAULT 13, 0x1C, mov fs, cx   ; past its limit
    mov ecx, 4
    EXPECT_FAULT 13, 4, mov fs, cx      ; entry 0 of the LDT: a zero descriptor is not data
    mov ecx, DATA32
    EXPECT_FAULT 13, DATA32, lldt cx
    mov ecx, 0xC
    EXPECT_FAULT 13, 0xC, lldt cx
    SET_DESC FREESEL, 0x00000203, 0x00000017
    mov ecx, FREESEL
    EXPECT_FAULT 11, FREESEL, lldt cx
    mov ecx, TSSSEL                     ; busy
    EXPECT_FAULT 13, TSSSEL, ltr cx
    xor ecx, ecx
    EXPECT_FAULT 13, 0, ltr cx
    lldt cx
    mov ecx, 0xC
    EXPECT_FAULT 13, 0xC, mov fs, cx
    PASS
