; Interrupts between processors that halt until one comes: none is lost, whoever is about to halt. NMIs to
; processors at work.
; models: max
; cpus: 4
; ticks: 400000000
; manual: SDM 3A 11.6.1 (ICR), 6.8.1 (STI and HLT)
%include "guest.inc"
%include "long.inc"
%include "processors.inc"

%define ROUNDS 600
%define DATA   FREE
%define COUNT  (DATA + 0x100)           ; interrupts taken, a line for each processor
%define NMIS   (DATA + 0x300)
%define WORK   (DATA + 0x400)           ; 1: the others do not halt

%macro GATE 2                           ; vector, handler
    mov eax, %2
    mov [IDT64 + 16 * %1], ax
    shr eax, 16
    mov [IDT64 + 16 * %1 + 6], ax
%endmacro

main:
    ENTER_LONG
    CLEAR DATA, 0x1000
    GATE 0x50, on_interrupt
    GATE 0x51, on_interrupt             ; the answers: one vector would merge them
    GATE 0x52, on_interrupt
    GATE 0x53, on_interrupt
    GATE 2, on_nmi
    mov ecx, 4
    call processors_start
    mov r15d, 1
.round:
    call tell_others
    ; each of them answers: halted until all three have
    mov edx, r15d
    imul edx, edx, 3
.halt:
    cli
    cmp [COUNT], edx
    je .next
    sti
    hlt
    jmp .halt
.next:
    EXPECT_EQ [COUNT + 0x40], r15d
    EXPECT_EQ [COUNT + 0x80], r15d
    EXPECT_EQ [COUNT + 0xC0], r15d
    inc r15d
    cmp r15d, ROUNDS
    jne .round
    ; NMIs while they spin
    mov dword [WORK], 1
    call tell_others
    mov r15d, 1
.nmi:
    mov dword [APIC + 0x300], 0xC4400  ; to all but this one
    mov edx, r15d
    imul edx, edx, 3
.taken:
    pause
    cmp [NMIS], edx
    jne .taken
    inc r15d
    cmp r15d, 500
    jne .nmi
    PASS

tell_others:                            ; 50H to each
    mov ebx, 1
.next:
    mov eax, ebx
    shl eax, 24
    mov [APIC + 0x310], eax
    mov dword [APIC + 0x300], 0x50
    inc ebx
    cmp ebx, 4
    jb .next
    ret

processor_main:
    mov r13d, edi
    shl r13d, 6
    lea r14d, [rdi + 0x50]
.halt:
    sti
    hlt
    cli
    cmp dword [WORK], 0
    jne .spin
    mov dword [APIC + 0x310], 0        ; the answer
    mov [APIC + 0x300], r14d
    jmp .halt
.spin:
    inc r12
    jmp .spin

on_interrupt:
    push rax
    mov eax, [APIC + 0x20]
    shr eax, 24 - 6
    lock inc dword [COUNT + rax]
    mov dword [APIC + 0xB0], 0
    pop rax
    iretq
on_nmi:
    lock inc dword [NMIS]
    iretq
bits 32
