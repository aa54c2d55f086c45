; Address spaces of host and guests: entries and exits without VPID flush; VPIDs keep translations apart;
; INVVPID of all types, the guest's own INVLPG and MOV to CR3; one VPID under two EPT pointers. That a
; stale translation stays is never expected.
; models: Westmere, Nehalem, core2duo, max
; manual: SDM 3C 28.3, 30.3 INVVPID
%include "guest.inc"
%include "long.inc"
%include "vmx.inc"

%define X      0x800000                 ; the address whose mapping changes
%define GPA    0x1000000                ; the guest-physical page whose mapping changes
%define PAGE_A (FREE + 0x60000)
%define PAGE_B (FREE + 0x61000)
%define TAG_A  0xAAAA0001
%define TAG_B  0xBBBB0002
%define G_PML4 (FREE + 0x70000)         ; the guest's own tables: the host's but for X
%define G_PDPT (FREE + 0x71000)
%define G_PD   (FREE + 0x72000)
%define G_PT   (FREE + 0x73000)
%define EPT_A  EPT_TABLES               ; two EPTs: PML4, PDPT, PD, PT each
%define EPT_B  (EPT_TABLES + 0x4000)
%define GLOBAL 0x107
%define WB     (6 << 3)

; READS value: the guest finds it at X. HOST_READS: so does the host.
%macro reads_ 3
    mov qword [guest_rip], %2
    call run_guest
    expect_eq_plain_ %1, eax, 0
    expect_field_ %1, EXIT_REASON, 18
    mov eax, [g_rbx]
    expect_eq_plain_ %1, eax, %3
%endmacro
%define READS reads_ __?LINE?__, read_x,
%define READS_AT_GPA reads_ __?LINE?__, read_gpa,
%macro host_reads_ 2
    mov eax, [X]
    expect_eq_plain_ %1, eax, %2
%endmacro
%define HOST_READS host_reads_ __?LINE?__,
%macro MAPX 1                           ; host and guests on PML4; the host's own copy is dropped
    mov dword [PT_FREE], %1
    invlpg [X]
%endmacro
; INVVPID type, with the descriptor prepared.
%macro invvpid_ 2
    mov eax, %2
    invvpid rax, [descriptor]
    expect_if_ %1, nbe
%endmacro
%define INVVPID invvpid_ __?LINE?__,

main:
    ENTER_LONG
    call vmx_start
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

    ; --- without VPID: every entry and every exit flushes
    VMW GUEST_CR3, G_PML4
    HOST_READS TAG_A
    READS TAG_B
    HOST_READS TAG_A
    READS TAG_B
    mov dword [G_PT], PAGE_A | 7
    READS TAG_A
    mov dword [G_PT], PAGE_B | 7
    READS TAG_B
    mov dword [PT_FREE], PAGE_B | 7     ; no INVLPG: the exit does it
    READS TAG_B
    HOST_READS TAG_B
    mov dword [PT_FREE], PAGE_A | 7
    READS TAG_B
    HOST_READS TAG_A
    ; ... global pages too
    mov rax, cr4
    or eax, 1 << 7
    mov cr4, rax
    VMW GUEST_CR4, rax
    mov rax, cr4
    VMW HOST_CR4, rax
    mov dword [PT_FREE], PAGE_A | GLOBAL
    mov dword [G_PT], PAGE_B | GLOBAL
    HOST_READS TAG_A
    READS TAG_B
    HOST_READS TAG_A
    mov dword [G_PT], PAGE_A | GLOBAL
    READS TAG_A
    mov dword [PT_FREE], PAGE_A | 7
    mov dword [G_PT], PAGE_B | 7
    READS TAG_B

    mov ecx, 0x482
    rdmsr
    test edx, edx                       ; secondary controls
    jns .done
    mov ecx, 0x48B
    rdmsr
    test edx, 1 << 5
    jz .done
    ; --- VPIDs: host (0) and guests with different tables and nothing flushed in between
    PROC 1 << 31
    PROC2 1 << 5
    invlpg [X]
    VMW VPID, 1
    VMW GUEST_CR3, G_PML4
    HOST_READS TAG_A
    READS TAG_B
    HOST_READS TAG_A
    READS TAG_B
    VMW VPID, 2
    VMW GUEST_CR3, PML4
    READS TAG_A
    VMW VPID, 1
    VMW GUEST_CR3, G_PML4
    READS TAG_B
    VMW VPID, 2
    VMW GUEST_CR3, PML4
    READS TAG_A
    HOST_READS TAG_A
    ; global pages are global within their VPID
    mov dword [G_PT], PAGE_B | GLOBAL
    VMW VPID, 0xFFFF
    VMW GUEST_CR3, G_PML4
    READS TAG_B
    HOST_READS TAG_A
    VMW VPID, 3
    VMW GUEST_CR3, PML4
    READS TAG_A
    ; a new VPID sees a changed table
    MAPX PAGE_B | 7
    VMW VPID, 4
    READS TAG_B
    HOST_READS TAG_B

    ; --- INVVPID: 0 one address, 1 one VPID, 2 all, 3 one VPID but for global pages
    mov qword [descriptor + 8], X
    mov word [descriptor], 3
    INVVPID 0
    VMW VPID, 3
    READS TAG_B
    MAPX PAGE_A | 7
    INVVPID 1
    READS TAG_A
    MAPX PAGE_B | 7
    INVVPID 2
    READS TAG_B
    VMW VPID, 4
    READS TAG_B
    mov word [descriptor], 4
    MAPX PAGE_A | 7
    INVVPID 3
    READS TAG_A
    ; 0 and 1 drop global ones
    MAPX PAGE_A | GLOBAL
    INVVPID 1
    READS TAG_A
    MAPX PAGE_B | GLOBAL
    INVVPID 0
    READS TAG_B
    MAPX PAGE_A | GLOBAL
    INVVPID 1
    READS TAG_A
    ; for the host's VPID there is none, and the host's stays as its tables say
    HOST_READS TAG_A
    mov word [descriptor], 0
    mov eax, 1
    invvpid rax, [descriptor]
    EXPECT_VMFAIL 28
    mov word [descriptor], 4
    MAPX PAGE_A | 7
    INVVPID 1

    ; --- the guest's own INVLPG, MOV to CR3 and MOV to CR4 act on its VPID
    mov qword [guest_rip], invlpg_guest
    call run_guest
    EXPECT_FIELD EXIT_REASON, 18
    EXPECT_EQ dword [g_rbx], TAG_B
    EXPECT_EQ dword [g_rcx], TAG_A
    EXPECT_EQ dword [g_rsi], TAG_B
    mov rax, cr4
    VMW GUEST_CR4, rax
    invlpg [X]
    HOST_READS TAG_B
    VMW VPID, 5
    READS TAG_B

    ; --- VPID and EPT: mappings belong to the EPT pointer as well
    mov ecx, 0x48B
    rdmsr
    test edx, 1 << 1
    jz .done
    MAPX PAGE_A | 7
    mov edi, EPT_A
    call build_ept
    mov edi, EPT_B
    call build_ept
    mov dword [EPT_A + 0x3000], PAGE_A | 7 | WB
    mov dword [EPT_B + 0x3000], PAGE_B | 7 | WB
    PROC2 1 << 1 | 1 << 5
    VMW VPID, 6
    VMW EPT_POINTER, EPT_A | 3 << 3 | 6
    READS_AT_GPA TAG_A
    VMW EPT_POINTER, EPT_B | 3 << 3 | 6
    READS_AT_GPA TAG_B
    VMW EPT_POINTER, EPT_A | 3 << 3 | 6
    READS_AT_GPA TAG_A
    ; INVVPID drops combined mappings, INVEPT of one pointer those of all VPIDs with it
    mov word [descriptor], 6
    mov dword [EPT_A + 0x3000], PAGE_B | 7 | WB
    VMW VPID, 7
    mov qword [descriptor], EPT_A | 3 << 3 | 6
    mov qword [descriptor + 8], 0
    mov eax, 1
    invept rax, [descriptor]
    EXPECT_IF nbe
    READS_AT_GPA TAG_B
    VMW VPID, 6
    READS_AT_GPA TAG_B
    ; a change of the guest's own table, of the same EPT
    mov qword [descriptor], 6
    MAPX PAGE_B | 7
    INVVPID 1
    READS TAG_B
    ; without VPID and with EPT: entries and exits flush the guest-linear part
    PROC2 1 << 1
    READS TAG_B
    MAPX PAGE_A | 7
    READS TAG_A
    HOST_READS TAG_A
.done:
    PASS

; Identity for the first GiB at EDI, but for the 4 KiB pages of the 2 MiB at GPA.
build_ept:
    mov ebx, edi
    mov ecx, 0x4000 / 4
    xor eax, eax
    rep stosd
    lea eax, [rbx + 0x1007]
    mov [rbx], eax
    add eax, 0x1000
    mov [rbx + 0x1000], eax
    mov eax, 0x87 | WB
    lea edi, [rbx + 0x2000]
    mov ecx, 512
.pd:
    mov [rdi], eax
    add eax, 0x200000
    add edi, 8
    loop .pd
    lea eax, [rbx + 0x3007]
    mov [rbx + 0x2000 + (GPA >> 21) * 8], eax
    ret

read_x:
    mov ebx, [X]
    vmcall
read_gpa:
    mov ebx, [GPA]
    vmcall
invlpg_guest:
    mov eax, [X]
    mov dword [PT_FREE], PAGE_B | 7
    invlpg [X]
    mov ebx, [X]
    mov dword [PT_FREE], PAGE_A | 7
    mov rax, cr3
    mov cr3, rax
    mov ecx, [X]
    mov dword [PT_FREE], PAGE_A | GLOBAL
    invlpg [X]
    mov eax, [X]
    mov dword [PT_FREE], PAGE_B | GLOBAL
    mov rax, cr4
    xor eax, 1 << 7
    mov cr4, rax                        ; a change of PGE drops global ones too
    mov esi, [X]
    vmcall
align 16
descriptor: dq 0, 0
