; Instructions as they touch memory: locked and wide exchanges, self-modifying code, REP and its registers, stacks.
; models: Westmere, barcelona
; manual: SDM 3A 8.1.3; SDM 2 CMPXCHG8B/16B, REP, PUSH, POP, ENTER, XLAT
%include "guest.inc"
%include "long.inc"

main:
    ; CMPXCHG8B
    mov dword [SCRATCH], 1
    mov dword [SCRATCH + 4], 2
    mov eax, 1
    mov edx, 2
    mov ebx, 3
    mov ecx, 4
    lock cmpxchg8b [SCRATCH]
    EXPECT_IF z
    EXPECT_EQ dword [SCRATCH], 3
    EXPECT_EQ dword [SCRATCH + 4], 4
    cmpxchg8b [SCRATCH]
    EXPECT_IF nz
    EXPECT_EQ eax, 3
    EXPECT_EQ edx, 4
    ; CMPXCHG that fails still writes back the old value: a read-only page faults; XADD; XCHG
    mov eax, 7
    mov ebx, 9
    mov dword [SCRATCH], 7
    lock cmpxchg [SCRATCH], ebx
    EXPECT_EQ dword [SCRATCH], 9
    mov eax, 5
    lock xadd [SCRATCH], eax
    EXPECT_EQ eax, 9
    EXPECT_EQ dword [SCRATCH], 14
    ; self-modifying code: the next instruction is already the new one
    mov byte [.patch], 0x40             ; INC EAX for NOP
    mov eax, 1
.patch:
    nop
    EXPECT_EQ eax, 2
    mov ecx, 3
    xor eax, eax
.loop:                                  ; a loop that rewrites its own immediate
    add eax, 1
.imm equ $ - 1
    inc byte [.imm]
    loop .loop
    EXPECT_EQ eax, 6
    ; code written, run, written again through another alias-free store size
    mov dword [FREE], 0xC3402A40        ; ends in RET
    mov dword [FREE], 0x00C34040        ; INC EAX, INC EAX, RET
    xor eax, eax
    call FREE
    EXPECT_EQ eax, 2
    mov word [FREE], 0x4848             ; DEC EAX twice
    call FREE
    EXPECT_EQ eax, 0
    ; REP with ECX = 0 does nothing; CMPS and SCAS stop at the right element; DF
    xor ecx, ecx
    mov edi, 0x7FFFFFFF
    rep stosb
    EXPECT_EQ edi, 0x7FFFFFFF
    mov edi, SCRATCH
    mov al, 0
    mov ecx, 64
    rep stosb
    mov byte [SCRATCH + 10], 1
    mov edi, SCRATCH
    mov ecx, 64
    repe scasb
    EXPECT_IF nz
    EXPECT_EQ ecx, 64 - 11
    EXPECT_EQ edi, SCRATCH + 11
    std
    mov edi, SCRATCH + 63
    mov ecx, 64
    repe scasb
    cld
    EXPECT_EQ edi, SCRATCH + 9
    ; overlapping REP MOVSB smears, as byte after byte
    mov byte [SCRATCH], 0x77
    mov esi, SCRATCH
    mov edi, SCRATCH + 1
    mov ecx, 100
    rep movsb
    EXPECT_EQ dword [SCRATCH + 96], 0x77777777
    ; PUSH ESP pushes the old value, POP ESP loads; POP to [ESP+x] uses the new ESP
    mov eax, esp
    push esp
    pop ebx
    EXPECT_EQ ebx, eax
    push dword 0x1111
    push dword 0x2222
    pop dword [esp]
    EXPECT_EQ dword [esp], 0x2222
    add esp, 4
    EXPECT_EQ esp, eax
    ; PUSHA, POPA; ENTER with a level
    mov ebx, 0x600D
    pushad
    xor ebx, ebx
    popad
    EXPECT_EQ ebx, 0x600D
    mov ebp, 0x5000
    mov esi, esp
    enter 16, 1
    EXPECT_EQ dword [esi - 4], 0x5000
    EXPECT_EQ dword [esi - 8], ebp
    lea eax, [ebp - 20]
    EXPECT_EQ esp, eax
    leave
    EXPECT_EQ ebp, 0x5000
    EXPECT_EQ esp, esi
    ; XLAT, BSWAP, shifts by the count masked to 5 bits
    mov byte [SCRATCH + 0x55], 0x99
    mov ebx, SCRATCH
    mov eax, 0x12345655
    xlatb
    EXPECT_EQ eax, 0x12345699
    mov eax, 0x80000001
    mov cl, 33
    rol eax, cl
    EXPECT_EQ eax, 3
    stc
    mov cl, 32
    shl eax, cl
    EXPECT_IF c                         ; count 0 leaves the flags
    ; BT with a register offset reaches beyond the operand
    mov dword [SCRATCH + 0x10], 0
    mov eax, 0x85                       ; bit 5 of dword 4
    bts [SCRATCH], eax
    EXPECT_EQ dword [SCRATCH + 0x10], 0x20
    mov eax, -1
    btr [SCRATCH + 4], eax              ; bit 31 of the dword below
    EXPECT_EQ dword [SCRATCH], 0x77777777

    ENTER_LONG
    ; CMPXCHG16B: alignment
    mov eax, 1
    cpuid
    test ecx, 1 << 13
    jz .no_cx16
    mov edi, SCRATCH
    xor eax, eax
    mov ecx, 8
    rep stosd
    xor edx, edx
    mov ebx, 5
    mov ecx, 6
    lock cmpxchg16b [SCRATCH]
    EXPECT_IF z
    EXPECT_EQ dword [SCRATCH], 5
    EXPECT_EQ dword [SCRATCH + 8], 6
    EXPECT_FAULT 13, 0, cmpxchg16b [SCRATCH + 8]
.no_cx16:
    ; 64-bit division, address-size prefix, RIP-relative
    mov rdx, 1
    xor eax, eax
    mov ecx, 2
    div rcx
    mov rbx, 1 << 63
    cmp rax, rbx
    EXPECT_IF e
    PASS
