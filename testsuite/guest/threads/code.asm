; Code that one processor writes and others run: after a serializing instruction they run what was written
; before they were told, on a page that they have run from already and on ones that they have not.
; models: max
; cpus: 4
; ticks: 400000000
; manual: SDM 3A 9.1.3 (cross-modifying code), 9.3 (serializing instructions)
%include "guest.inc"
%include "long.inc"
%include "processors.inc"

%define ROUNDS 600
%define PAGES  100
%define DATA   FREE
%define ROUND  (DATA + 0x000)           ; what the writer is at
%define WHERE  (DATA + 0x008)           ; the function to call
%define ERRORS (DATA + 0x040)
%define ACK    (DATA + 0x100)           ; a line for each processor
%define CODE   (FREE + 0x100000)        ; then PAGES more

; %1: number to publish, once the others have answered the one before
%macro TELL 1
    mov [ROUND], %1
%%wait:
    pause
    cmp [ACK + 0x40], %1
    jne %%wait
    cmp [ACK + 0x80], %1
    jne %%wait
    cmp [ACK + 0xC0], %1
    jne %%wait
%endmacro

main:
    ENTER_LONG
    CLEAR DATA, 0x1000
    mov byte [CODE], 0xB8               ; MOV EAX, imm32; RET
    mov byte [CODE + 5], 0xC3
    mov qword [WHERE], CODE
    mov ecx, 4
    call processors_start
    ; one page, again and again
    mov r15d, 1
.round:
    mov [CODE + 1], r15d
    TELL r15d
    cmp dword [ERRORS], 0
    jne .bad
    inc r15d
    cmp r15d, ROUNDS
    jne .round
    ; new pages, written once more while the others begin to run from them
    mov r14d, CODE + 0x1000
.page:
    mov byte [r14], 0xB8
    mov [r14 + 1], r15d
    mov byte [r14 + 5], 0xC3
    mov [WHERE], r14
    mov [ROUND], r15d                   ; no wait for an answer
    lea eax, [r15 + 1]
    mov [r14 + 1], eax
    inc r15d
    mov [ROUND], r15d
.answer:
    pause
    cmp [ACK + 0x40], r15d
    jne .answer
    cmp [ACK + 0x80], r15d
    jne .answer
    cmp [ACK + 0xC0], r15d
    jne .answer
    inc r15d
    add r14d, 0x1000
    cmp r14d, CODE + 0x1000 * (PAGES + 1)
    jne .page
    ; a function at the same address, on a page whose mapping's bytes came by string instruction
    mov esi, CODE
    mov edi, CODE + 0x2000
    mov ecx, 8
    rep movsb
    mov [CODE + 0x2001], r15d
    mov qword [WHERE], CODE + 0x2000
    TELL r15d
    ; code that follows the serializing instruction directly, in one block with it
    mov qword [WHERE], inline_code
    mov r14d, 300
.inline:
    inc r15d
    mov [inline_code + 3], r15d
    TELL r15d
    cmp dword [ERRORS], 0
    jne .bad
    dec r14d
    jnz .inline
.bad:
    EXPECT_EQ dword [ERRORS], 0
    PASS

align 64
inline_code:
    cpuid
    mov eax, 0x12345678
    ret
align 64
; rdi: APIC id
processor_main:
    mov r13d, edi
    shl r13d, 6
    xor r12d, r12d
.wait:
    pause
    mov r10d, [ROUND]
    cmp r10d, r12d
    je .wait
    xor eax, eax
    cpuid
    call qword [WHERE]
    ; what was told, or newer; never older
    cmp eax, r10d
    je .good
    jb .old
    cmp eax, [ROUND]
    jbe .good
    lea ecx, [r10 + 1]                  ; written, not yet told
    cmp eax, ecx
    je .good
.old:
    lock inc dword [ERRORS]
.good:
    mov r12d, r10d
    mov [ACK + r13], r10d
    jmp .wait
bits 32
