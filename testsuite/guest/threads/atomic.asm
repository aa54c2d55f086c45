; Four processors count with every locked instruction at once: sums, and flags that exactly one of them may see.
; models: max
; cpus: 4
; ticks: 400000000
; manual: SDM 3A 9.1.2, 9.1.2.2; SDM 2 LOCK, XCHG, XADD, CMPXCHG, CMPXCHG8B, CMPXCHG16B, BTS
%include "guest.inc"
%include "long.inc"
%include "processors.inc"

%define ROUNDS 20000                    ; a multiple of 16
%define DATA   FREE                     ; one 64-byte line each
%define GO     (DATA + 0x000)
%define DONE   (DATA + 0x040)
%define INCS   (DATA + 0x080)
%define ADDS   (DATA + 0x0C0)
%define XADDS  (DATA + 0x100)
%define SPIN   (DATA + 0x140)           ; taken by XCHG
%define SPUN   (DATA + 0x148)
%define CAS    (DATA + 0x180)
%define WIDE   (DATA + 0x1C0)
%define PAIR   (DATA + 0x200)
%define BITS   (DATA + 0x240)           ; taken by BTS
%define BITTEN (DATA + 0x248)
%define ZEROS  (DATA + 0x280)           ; how often somebody saw the last DEC
%define LEFT   (DATA + 0x2C0)
%define BYTES  (DATA + 0x300)
%define XORS   (DATA + 0x340)
%define TICKET (DATA + 0x3C0)
%define SERVED (DATA + 0x3C4)
%define TICKED (DATA + 0x3C8)
%define SPLIT  (DATA + 0x43E)           ; across two lines
%define CROSS  (DATA + 0x1FFC)          ; across two pages
%define NEAR   near_code                ; beside code

main:
    ENTER_LONG
    CLEAR DATA, 0x3000
    mov dword [LEFT], 4 * ROUNDS
    mov ecx, 4
    call processors_start
    mov dword [GO], 1
    call work
.wait:
    pause
    cmp dword [DONE], 4
    jne .wait
    mov eax, 4 * ROUNDS
    EXPECT_EQ [INCS], eax
    EXPECT_EQ [XADDS], eax
    EXPECT_EQ [SPUN], eax
    EXPECT_EQ [CAS], eax
    EXPECT_EQ [BITTEN], eax
    EXPECT_EQ [SPLIT], eax
    EXPECT_EQ [CROSS], eax
    EXPECT_EQ [NEAR], eax
    EXPECT_EQ dword [TICKED], 4 * (ROUNDS / 1024)
    EXPECT_EQ dword [ADDS], 12 * ROUNDS
    EXPECT_EQ dword [LEFT], 0
    EXPECT_EQ dword [ZEROS], 1
    EXPECT_EQ byte [BYTES], (4 * ROUNDS * 3) & 0xFF
    EXPECT_EQ dword [XORS], 0
    mov rax, [WIDE]
    EXPECT_EQ eax, 4 * ROUNDS           ; low half counts up, high half down
    shr rax, 32
    EXPECT_EQ eax, -4 * ROUNDS
    mov rax, 4 * ROUNDS * 0x4000000000000001
    EXPECT_EQ rax, [PAIR]
    EXPECT_EQ dword [PAIR + 8], ROUNDS  ; the carries
    PASS

processor_main:
    cmp dword [GO], 1
    jne processor_main
    call work
.stop:
    cli
    hlt
    jmp .stop

work:
    mov r15d, ROUNDS
.round:
    lock inc dword [INCS]
    lock add qword [ADDS], 3
    mov ecx, 1
    lock xadd [XADDS], ecx
    ; a spin lock by XCHG, given back by a plain store
.spin:
    mov eax, 1
    xchg eax, [SPIN]
    test eax, eax
    jz .taken
    pause
    jmp .spin
.taken:
    inc dword [SPUN]
    mov dword [SPIN], 0
    ; CMPXCHG
    mov eax, [CAS]
.again:
    lea edx, [rax + 1]
    lock cmpxchg [CAS], edx
    jne .again
    ; CMPXCHG8B: low half up, high half down
    mov eax, [WIDE]
    mov edx, [WIDE + 4]
.again8:
    lea ebx, [rax + 1]
    lea ecx, [rdx - 1]
    lock cmpxchg8b [WIDE]
    jne .again8
    ; CMPXCHG16B: a 128-bit sum
    mov rax, [PAIR]
    mov rdx, [PAIR + 8]
.again16:
    mov rsi, 0x4000000000000001
    mov rbx, rax
    mov rcx, rdx
    add rbx, rsi
    adc rcx, 0
    lock cmpxchg16b [PAIR]
    jne .again16
    ; a bit as a lock
.bit:
    lock bts dword [BITS], 5
    jnc .bit_taken
    pause
    jmp .bit
.bit_taken:
    add dword [BITTEN], 1
    lock btr dword [BITS], 5
    ; exactly one decrement reaches zero
    lock dec dword [LEFT]
    jnz .not_last
    lock inc dword [ZEROS]
.not_last:
    mov al, 3
    lock add [BYTES], al
    lock xor dword [XORS], 0x5A5A5A5A
    lock not dword [XORS + 8]
    lock neg dword [XORS + 12]
    lock or dword [XORS + 16], 1
    lock sub qword [XORS + 24], 1
    lock xor dword [XORS], 0x5A5A5A5A
    ; a ticket lock: slow, everybody waits for a particular other one
    test r15d, 1023
    jnz .no_turn
    mov r14d, 1
    lock xadd [TICKET], r14d
.turn:
    cmp [SERVED], r14d
    je .mine
    pause
    jmp .turn
.mine:
    inc dword [TICKED]
    inc dword [SERVED]
.no_turn:
    ; misaligned: two lines, two pages; beside code
    lock add dword [SPLIT], 1
    test r15d, 15
    jnz .aligned
    lock add dword [CROSS], 16
    lock add dword [NEAR], 16
.aligned:
    dec r15d
    jnz .round
    lock inc dword [DONE]
    ret
align 8
near_code: dq 0
