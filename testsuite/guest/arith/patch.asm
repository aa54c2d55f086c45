; Code that other code patches: immediates of every kind of instruction that has a wide one, opcodes, a block that is
; written anew, data beside code. Each routine runs often enough between patches to be worth translating.
; models: Westmere, barcelona
; manual: SDM 3A 11.6 (self-modifying code), 8.1.3
%include "guest.inc"
%include "long.inc"

%define ROUNDS 200

main:
    ; immediates of a loop that runs between the patches; the sum is kept twice
    mov ebp, ROUNDS
.round:
    imul edx, ebp, 0x1234567            ; the value that goes in, of both signs
    mov [.load], edx
    mov [.add], edx
    mov [.and], edx
    mov [.memory], edx
    mov [.push], edx
    mov [.multiply], edx
    call .patched
    mov esi, eax
    mov eax, edx                        ; the same without immediates
    mov ecx, 3
.expected:
    add eax, edx
    mov ebx, eax
    and ebx, edx
    add eax, ebx
    adc eax, edx
    sub eax, edx
    rol eax, 1
    loop .expected
    push edx
    pop ebx
    add eax, ebx
    mov ebx, edx
    imul ebx, edx
    xor eax, ebx
    EXPECT_EQ eax, esi
    dec ebp
    jnz .round

    ; the same value again, then the opcode beside the immediate, then both at once
    mov ebp, ROUNDS
    xor edi, edi
.opcodes:
    mov dword [.value], 5
    mov byte [.operation], 0x05         ; ADD EAX, 5
    call .small
    EXPECT_EQ eax, 15
    mov byte [.operation], 0x2D         ; SUB
    call .small
    EXPECT_EQ eax, 5
    mov dword [.operation], 0x735       ; XOR EAX, 7 (three bytes of it)
    call .small
    EXPECT_EQ eax, 13
    mov byte [.beside], 1               ; data in the line of the code
    add [.beside], ebp
    inc dword [.beside + 4]
    dec ebp
    jnz .opcodes
    EXPECT_EQ dword [.beside + 4], ROUNDS
    jmp .long

.patched:
    mov eax, strict dword 0
.load equ $ - 4
    mov ecx, 3
.again:
    add eax, strict dword 0
.add equ $ - 4
    mov ebx, eax
    and ebx, strict dword 0
.and equ $ - 4
    add eax, ebx
    mov dword [SCRATCH], strict dword 0
.memory equ $ - 4
    adc eax, [SCRATCH]
    sub eax, [SCRATCH]
    rol eax, 1
    loop .again
    push strict dword 0
.push equ $ - 4
    pop ebx
    add eax, ebx
    imul ebx, edx, strict dword 0
.multiply equ $ - 4
    xor eax, ebx
    ret
.small:
    mov eax, 10
    nop
.operation:
    add eax, strict dword 5
.value equ $ - 4
    ret
.beside:
    dd 0, 0

.long:
    ENTER_LONG
    ; a trampoline: MOV RAX, imm64 with a target that changes
    mov ebp, ROUNDS
    mov byte [FREE], 0x48
    mov byte [FREE + 1], 0xB8
    mov word [FREE + 10], 0xE0FF        ; JMP RAX
.trampoline:
    lea rax, [.first]
    mov [FREE + 2], rax
    mov ecx, FREE
    call rcx
    EXPECT_EQ ebx, 1
    lea rax, [.second]
    mov [FREE + 2], eax                 ; its lower half
    call rcx
    EXPECT_EQ ebx, 2
    dec ebp
    jnz .trampoline
    ; a routine written anew byte by byte, mostly as it was
    mov ebp, ROUNDS
.anew:
    mov edi, FREE + 0x100
    mov ecx, 20
.emit:
    mov byte [rdi], 0x48                ; ADD RAX, imm32
    mov byte [rdi + 1], 0x05
    mov [rdi + 2], ebp
    mov byte [rdi + 6], 0x90
    add edi, 7
    loop .emit
    mov byte [rdi], 0xC3
    xor eax, eax
    mov ecx, FREE + 0x100
    call rcx
    call rcx
    imul ebx, ebp, 40
    EXPECT_EQ eax, ebx
    dec ebp
    jnz .anew
    PASS
.first:
    mov ebx, 1
    ret
.second:
    mov ebx, 2
    ret
