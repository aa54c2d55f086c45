; Address-space identifiers: translations of the host and of each guest are apart; TLB_CONTROL, INVLPGA, and
; the guest's own INVLPG and MOV to CR3. That a stale translation stays is never expected.
; models: max-amd, barcelona, opteron-f
; manual: APM2 15.16
%include "guest.inc"
%include "long.inc"
%include "svm.inc"

%define X      0x800000                 ; the address whose mapping changes
%define PAGE_A (FREE + 0x60000)
%define PAGE_B (FREE + 0x61000)
%define TAG_A  0xAAAA0001
%define TAG_B  0xBBBB0002
%define G_PML4 (FREE + 0x70000)         ; the guest's own tables: the host's but for X
%define G_PDPT (FREE + 0x71000)
%define G_PD   (FREE + 0x72000)
%define G_PT   (FREE + 0x73000)
%define GLOBAL 0x107

; READS value: the guest of the VMCB as it is finds it at X. HOST_READS: so does the host.
%macro reads_ 2
    mov qword [g_rbx], 0
    mov qword [S_RIP], read_x
    call run_guest
    expect_mem_ %1, EXITCODE, 0x81
    mov byte [V_TLB], 0
    mov eax, [g_rbx]
    expect_eq_plain_ %1, eax, %2
%endmacro
%define READS reads_ __?LINE?__,
%macro host_reads_ 2
    mov eax, [X]
    expect_eq_plain_ %1, eax, %2
%endmacro
%define HOST_READS host_reads_ __?LINE?__,

main:
    ENTER_LONG
    call svm_start
    mov dword [PAGE_A], TAG_A
    mov dword [PAGE_B], TAG_B
    mov esi, PML4
    mov edi, G_PML4
    mov ecx, 0x3000 / 4
    rep movsd                           ; PML4, PDPT and PD0 lie one after the other
    mov dword [G_PML4], G_PDPT | 7
    mov dword [G_PDPT], G_PD | 7
    mov dword [PD0 + (X >> 21) * 8], PT_FREE | 7
    mov dword [G_PD + (X >> 21) * 8], G_PT | 7
    mov dword [PT_FREE], PAGE_A | 7
    mov dword [G_PT], PAGE_B | 7
    mov rax, cr3
    mov cr3, rax

    ; --- host and guest, each with its own tables, nothing flushed in between
    mov qword [S_CR3], G_PML4
    HOST_READS TAG_A
    READS TAG_B
    HOST_READS TAG_A
    READS TAG_B
    HOST_READS TAG_A
    ; --- two guests
    mov dword [V_ASID], 2
    mov qword [S_CR3], PML4
    READS TAG_A
    mov dword [V_ASID], 1
    mov qword [S_CR3], G_PML4
    READS TAG_B
    mov dword [V_ASID], 2
    mov qword [S_CR3], PML4
    READS TAG_A
    HOST_READS TAG_A
    ; --- global pages are global within their ASID
    mov dword [G_PT], PAGE_B | GLOBAL
    or dword [S_CR4], 1 << 7
    mov dword [V_ASID], 3
    mov qword [S_CR3], G_PML4
    READS TAG_B
    HOST_READS TAG_A
    mov dword [V_ASID], 4
    mov qword [S_CR3], PML4
    READS TAG_A
    HOST_READS TAG_A
    mov rax, cr4
    or eax, 1 << 7
    mov cr4, rax
    mov dword [PT_FREE], PAGE_A | GLOBAL
    HOST_READS TAG_A
    mov dword [V_ASID], 5
    mov qword [S_CR3], G_PML4
    READS TAG_B
    mov dword [PT_FREE], PAGE_A | 7
    mov dword [G_PT], PAGE_B | 7
    mov rax, cr4
    and eax, ~(1 << 7)
    mov cr4, rax
    and dword [S_CR4], ~(1 << 7)

    ; --- a new ASID sees a changed table, the host after its own INVLPG
    mov dword [V_ASID], 6
    mov qword [S_CR3], PML4
    READS TAG_A
    mov dword [PT_FREE], PAGE_B | 7
    mov dword [V_ASID], 7
    READS TAG_B
    invlpg [X]
    HOST_READS TAG_B
    ; --- INVLPGA: one address of one ASID
    mov eax, X
    mov ecx, 6
    invlpga
    mov dword [V_ASID], 6
    READS TAG_B
    ; --- TLB_CONTROL 1: everything of every ASID
    mov dword [PT_FREE], PAGE_A | 7
    mov byte [V_TLB], 1
    READS TAG_A
    mov dword [V_ASID], 7
    READS TAG_A
    mov dword [V_ASID], 0x3F            ; ASIDs below CPUID's number
    READS TAG_A
    HOST_READS TAG_A
    mov eax, 0x8000000A
    cpuid
    test edx, 1 << 6
    jz .no_flush_by_asid
    ; --- 3: this guest's, 7: this guest's but for global ones
    mov dword [PT_FREE], PAGE_B | 7
    mov byte [V_TLB], 3
    READS TAG_B
    mov dword [PT_FREE], PAGE_A | 7
    mov byte [V_TLB], 7
    READS TAG_A
    or dword [S_CR4], 1 << 7
    mov dword [PT_FREE], PAGE_A | GLOBAL
    mov byte [V_TLB], 3
    READS TAG_A
    mov dword [PT_FREE], PAGE_B | GLOBAL
    mov byte [V_TLB], 3
    READS TAG_B
    mov dword [PT_FREE], PAGE_A | GLOBAL
    mov byte [V_TLB], 1
    READS TAG_A
    mov dword [PT_FREE], PAGE_A | 7
    mov byte [V_TLB], 1
    and dword [S_CR4], ~(1 << 7)
    READS TAG_A
.no_flush_by_asid:
    ; --- the guest's own INVLPG, MOV to CR3, and MOV to CR4 for global pages
    mov qword [S_RIP], invlpg_guest
    call run_guest
    EXPECT_MEM EXITCODE, 0x81
    EXPECT_EQ dword [g_rbx], TAG_B
    EXPECT_EQ dword [g_rcx], TAG_A
    mov qword [S_RIP], global_guest
    call run_guest
    EXPECT_MEM EXITCODE, 0x81
    EXPECT_EQ dword [g_rbx], TAG_B
    ; --- the host's CR3 write and INVLPG are for the host, which sees what the guest did
    mov rax, cr3
    mov cr3, rax
    HOST_READS TAG_B
    ; --- the largest ASID, and the first that is none
    mov eax, 0x8000000A
    cpuid
    cmp ebx, 2
    jb .done
    lea eax, [rbx - 1]
    mov [V_ASID], eax
    READS TAG_B
    mov eax, 0x8000000A
    cpuid
    mov [V_ASID], ebx
    EXPECT_INVALID
.done:
    PASS

read_x:
    mov ebx, [X]
    vmmcall
invlpg_guest:
    mov eax, [X]
    mov dword [PT_FREE], PAGE_B | 7
    invlpg [X]
    mov ebx, [X]
    mov dword [PT_FREE], PAGE_A | 7
    mov rax, cr3
    mov cr3, rax
    mov ecx, [X]
    vmmcall
global_guest:
    mov rsi, cr4
    mov rax, rsi
    or eax, 1 << 7
    mov cr4, rax
    mov dword [PT_FREE], PAGE_A | GLOBAL
    invlpg [X]
    mov eax, [X]
    mov dword [PT_FREE], PAGE_B | GLOBAL
    mov cr4, rsi                        ; a change of PGE drops global ones too
    mov ebx, [X]
    vmmcall
