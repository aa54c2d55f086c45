; 32-bit paging without and with PSE: permissions, error codes, accessed and dirty bits, WP, global pages, INVLPG.
; models: Westmere, barcelona, core2duo
; manual: SDM 3A 4.3, 4.6, 4.7, 4.8, 4.10
%include "guest.inc"
%include "long.inc"

%define PD   TABLES
%define PT0  (TABLES + 0x1000)          ; 0 .. 4 MiB, one to one
%define PT1  (TABLES + 0x2000)          ; 400000H ..: the program's
%define VA   0x400000
%define PA   (FREE + 0x40000)
%define PTE  PT1

; Maps VA with these flags (and no stale translation).
%macro MAP 1
    mov dword [PTE], PA | (%1)
    invlpg [VA]
%endmacro

main:
    mov edi, TABLES
    mov ecx, 0x4000 / 4
    xor eax, eax
    rep stosd
    mov dword [PD], PT0 | 7
    mov dword [PD + 4], PT1 | 7
    mov dword [PD + (LAPIC >> 22) * 4], (LAPIC & 0xFFC00000) | 0x83
    mov edi, PT0
    mov eax, 7
.fill:
    stosd
    add eax, 0x1000
    cmp edi, PT0 + 0x1000
    jb .fill
    mov eax, cr4
    or eax, 1 << 4 | 1 << 7             ; PSE, PGE
    mov cr4, eax
    mov eax, PD
    mov cr3, eax
    mov eax, cr0
    or eax, 1 << 31
    mov cr0, eax
    mov dword [PA], 0x11223344

    ; Not present: error bits P W U, CR2
    EXPECT_FAULT 14, 0, {mov eax, [VA]}
    EXPECT_EQ dword [exc_cr2], VA
    EXPECT_FAULT 14, 2, {mov [VA + 8], eax}
    EXPECT_EQ dword [exc_cr2], VA + 8
%ifndef SECOND_OPINION
    EXPECT_FAULT 14, 2, {add [VA + 12], eax} ; read-modify-write is a write
%endif
    EXPECT_USER 14, 4, {mov eax, [VA]}
    EXPECT_USER 14, 6, {mov [VA], eax}
    CATCH .fetch
    mov eax, VA + 5
    jmp eax
.fetch:
    EXPECT_EXC 14, 0, VA + 5            ; no I/D bit without NX
    ; A crossing access faults at the second page's first byte
    MAP 7
    EXPECT_FAULT 14, 0, {mov eax, [VA + 0xFFE]}
    EXPECT_EQ dword [exc_cr2], VA + 0x1000
    EXPECT_EQ dword [VA], 0x11223344
    mov dword [PA + 0xFFC], 0x55667788
    EXPECT_FAULT 14, 2, {mov dword [VA + 0xFFE], 0}
    EXPECT_EQ dword [PA + 0xFFC], 0x55667788 ; nothing was written

    ; Accessed and dirty
    MAP 7
    mov eax, [VA]
    EXPECT_BITS [PTE], 0x60, 0x20
    EXPECT_BITS [PD + 4], 0x60, 0x20    ; no D in a directory entry that maps a table
    mov [VA], eax
    EXPECT_BITS [PTE], 0x60, 0x60
    MAP 7
    mov eax, [VA]
    and dword [PTE], ~0x20
    mov [VA], eax                       ; the TLB entry is clean: a write walks again and sets D
    EXPECT_BITS [PTE], 0x40, 0x40
    MAP 1                               ; a faulting write sets nothing dirty
    EXPECT_USER 14, 7, {mov [VA], eax}
    EXPECT_BITS [PTE], 0x40, 0

    ; Supervisor pages, read-only pages, WP
    MAP 3
    EXPECT_USER 14, 5, {mov eax, [VA]}
    EXPECT_USER 14, 7, {mov [VA], eax}
    mov [VA], eax
    MAP 5
    EXPECT_USER NO_FAULT, 0, {mov eax, [VA]}
    EXPECT_USER 14, 7, {mov [VA], eax}
    mov [VA], eax                       ; WP = 0: supervisor writes anything
    mov eax, cr0
    or eax, 1 << 16
    mov cr0, eax
    EXPECT_FAULT 14, 3, {mov [VA], eax}
    EXPECT_FAULT 14, 3, {lock inc dword [VA]}
    EXPECT_FAULT 14, 3, {xchg [VA], eax}
    mov eax, cr0
    and eax, ~(1 << 16)
    mov cr0, eax
    mov [VA], eax
    ; The directory's bits count too
    and dword [PD + 4], ~4
    MAP 7
    EXPECT_USER 14, 5, {mov eax, [VA]}
    or dword [PD + 4], 4
    and dword [PD + 4], ~2
    MAP 7
    EXPECT_USER 14, 7, {mov [VA], eax}
    EXPECT_USER NO_FAULT, 0, {mov eax, [VA]}
    or dword [PD + 4], 2

    ; System accesses are supervisor accesses: the GDT on a supervisor page, read from CPL 3
    mov eax, gdt
    shr eax, 12
    and dword [PT0 + eax * 4], ~4
    mov ebx, gdt
    invlpg [ebx]
    mov eax, DATA32U
    CATCH .gdt_read
    push dword DATA32U
    push dword STACK3
    push dword 2
    push dword CODE32U
    push dword user_load
    iretd
.gdt_read:
    EXPECT_EXC NO_FAULT, 0, 0
    mov eax, gdt
    shr eax, 12
    or dword [PT0 + eax * 4], 4
    invlpg [ebx]

    ; A push that faults moves nothing
    MAP 7
    CATCH .push
    push dword DATA32U
    push dword VA + 0x1004
    push dword 2
    push dword CODE32U
    push dword .user_push
    iretd
.user_push:
    push eax
    int NO_FAULT
.push:
    EXPECT_EXC 14, 6, .user_push
    EXPECT_EQ dword [exc_cr2], VA + 0x1000
    EXPECT_EQ dword [exc_sp], VA + 0x1004

    ; INVLPG takes one page; a global page survives a load of CR3, not a change of CR4.PGE
    MAP 7
    mov eax, [VA]
    mov dword [PTE], 0
    invlpg [VA]
    EXPECT_FAULT 14, 0, {mov eax, [VA]}
    mov dword [PTE], PA | 7
    mov eax, [VA]
    mov dword [PTE], 0
    mov eax, cr3
    mov cr3, eax
    EXPECT_FAULT 14, 0, {mov eax, [VA]}
    mov dword [PTE], PA | 0x107
    mov eax, [VA]
    mov dword [PTE], 0
    mov eax, cr3
    mov cr3, eax
    mov eax, [VA]                       ; still there
    mov eax, cr4
    xor al, 1 << 7
    mov cr4, eax
    xor al, 1 << 7
    mov cr4, eax
    EXPECT_FAULT 14, 0, {mov eax, [VA]}

    ; 4 MiB pages, PSE-36, reserved bits
    mov dword [PD + 8], 0x83            ; 800000H -> 0
    mov eax, [0x800000 + PA]
    EXPECT_EQ eax, [PA]
    mov [0x800000 + PA], eax
    EXPECT_BITS [PD + 8], 0x60, 0x60
    mov dword [PD + 8], 0x83 | 1 << 21  ; reserved: #PF with RSVD
    invlpg [0x800000]
    EXPECT_FAULT 14, 9, {mov eax, [0x800000]}
    EXPECT_USER 14, 0xD, {mov eax, [0x800000]}
    mov dword [PD + 8], 0x80 | 1 << 21  ; not present: nothing is reserved
    invlpg [0x800000]
    EXPECT_FAULT 14, 0, {mov eax, [0x800000]}
    mov dword [PD + 8], 0x83 | 1 << 13  ; PSE-36: physical 1 0000 0000H, a hole
    invlpg [0x800000]
    EXPECT_EQ dword [0x800000], -1
    mov eax, cr4
    and al, ~(1 << 4)
    mov cr4, eax
    mov dword [PD + 8], PT1 | 0x87      ; without PSE bit 7 is ignored
    mov dword [PTE], PA | 7
    mov eax, [0x800000]
    EXPECT_EQ eax, [PA]

    ; REP MOVS with a fault in the middle: registers tell how far it got
    mov eax, cr4
    or al, 1 << 4
    mov cr4, eax
    MAP 7
    mov esi, SCRATCH
    mov edi, VA + 0xFF0
    mov ecx, 16
    CATCH .rep
    rep movsd
    FAIL
.rep:
    EXPECT_EXC 14, 2, 0
    EXPECT_EQ ecx, 12
    EXPECT_EQ esi, SCRATCH + 16
    EXPECT_EQ edi, VA + 0x1000
    EXPECT_EQ dword [exc_cr2], VA + 0x1000
    PASS
align 4096
user_load:                              ; on a page of its own
    mov ds, ax
    int NO_FAULT
