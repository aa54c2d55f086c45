; Two processors: INIT and SIPI, the state they leave, locked counters, an NMI and an interrupt between them.
; models: Westmere, barcelona
; cpus: 2
; manual: SDM 3A 8.4.4, 9.1.1, 11.6.1
%include "guest.inc"
%include "long.inc"

%define PAGE 0x8000                     ; SIPI vector 08H
%define COUNTER (SCRATCH)
%define SEEN_CS (SCRATCH + 4)
%define SEEN_ID (SCRATCH + 8)
%define SEEN_SIG (SCRATCH + 12)
%define STATE (SCRATCH + 16)

main:
    mov dword [LAPIC + 0xF0], 0x1FF
    mov esi, ap_code
    mov edi, PAGE
    mov ecx, ap_end - ap_code
    rep movsb
    mov dword [LAPIC + 0x310], 1 << 24
    mov dword [LAPIC + 0x300], 0x4500   ; INIT
    mov dword [LAPIC + 0x300], 0x4608   ; SIPI
    mov ecx, 10000
.wait:
    pause
    cmp dword [STATE], 1
    loopne .wait
    EXPECT_EQ dword [STATE], 1
    EXPECT_EQ dword [SEEN_CS], PAGE >> 4
    EXPECT_EQ dword [SEEN_ID], 1
    mov eax, 1
    cpuid
    EXPECT_EQ [SEEN_SIG], eax           ; EDX after INIT
    ; both count
    mov dword [STATE], 2
    mov ecx, 5000
.count:
    lock inc dword [COUNTER]
    loop .count
    mov ecx, 1000000
.wait2:
    pause
    cmp dword [STATE], 3
    loopne .wait2
    EXPECT_EQ dword [COUNTER], 10000
    ; a second SIPI is ignored: the processor is not waiting
    mov dword [LAPIC + 0x300], 0x4608
    ; an interrupt from the other one: it sends 44H to APIC id 0
    mov dword [STATE], 4
    mov dword [exc_vec], 0
    sti
    hlt
    cli
    EXPECT_EQ dword [exc_vec], 0x44
    PASS

bits 16
ap_code:
    mov ax, cs
    movzx eax, ax
    mov bx, SCRATCH >> 4
    mov ds, bx
    mov [SEEN_SIG - SCRATCH], edx
    mov [SEEN_CS - SCRATCH], eax
    xor bx, bx
    jmp .go
.go:
    mov ss, bx
    mov sp, 0x7000
    ; big real mode to reach the local APIC
    lgdt [cs:.gdtr - ap_code]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    mov cx, 8
    mov ds, cx
    and al, ~1
    mov cr0, eax
    mov ds, bx
    mov ebx, LAPIC
    mov dword [ebx + 0xF0], 0x1FF
    mov eax, [ebx + 0x20]
    shr eax, 24
    mov esi, SCRATCH
    mov [esi + 8], eax
    mov dword [esi + 16], 1
.wait:
    cmp dword [esi + 16], 2
    jne .wait
    mov ecx, 5000
.count:
    lock inc dword [esi]
    dec ecx
    jnz .count
    mov dword [esi + 16], 3
.wait4:
    cmp dword [esi + 16], 4
    jne .wait4
    mov dword [ebx + 0x310], 0
    mov dword [ebx + 0x300], 0x4044
.stop:
    cli
    hlt
    jmp .stop
align 8
.gdt: dq 0, 0x00CF93000000FFFF
.gdtr: dw 15
    dd PAGE + .gdt - ap_code
ap_end:
bits 32
