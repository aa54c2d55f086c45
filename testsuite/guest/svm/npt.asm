; Nested paging: #VMEXIT(NPF) with its error codes, guest and nested faults told apart, TLB by ASID.
; models: barcelona, max-amd
; manual: APM2 15.25
%include "guest.inc"
%include "long.inc"
%include "svm.inc"

%define NPML4 NPT_TABLES
%define NPDPT (NPT_TABLES + 0x1000)
%define NPD   (NPT_TABLES + 0x2000)     ; first GiB in 2 MiB pages
%define NPT   (NPT_TABLES + 0x3000)     ; the 2 MiB at GPA
%define GPA   0x1000000                 ; its first page is the program's
%define PA    (FREE + 0x60000)

%macro NMAP 2                           ; high dword, low flags; a fresh ASID's worth of flushing
    mov dword [NPT], PA | (%2)
    mov dword [NPT + 4], %1
    mov byte [V_TLB], 1
%endmacro

; EXPECT_NPF offset in GPA, low error bits, instruction: NPF at the final address.
%macro expect_npf_ 4+
    call svm_fresh
    mov qword [S_RIP], %%guest
    call run_guest
    jmp %%check
%%guest:
    %4
    vmmcall
%%check:
    expect_mem_ %1, EXITCODE, 0x400
    expect_mem_ %1, EXITINFO1, 1 << 32 | (%3)
    expect_mem_ %1, EXITINFO2, GPA + %2
    expect_mem_ %1, S_RIP, %%guest
%endmacro
%define EXPECT_NPF expect_npf_ __?LINE?__,

main:
    ENTER_LONG
    call svm_start
    mov edi, NPT_TABLES
    mov ecx, 0x4000 / 4
    xor eax, eax
    rep stosd
    mov dword [NPML4], NPDPT | 7
    mov dword [NPDPT], NPD | 7
    mov edi, NPD
    mov eax, 0x87
.pd:
    mov [edi], eax
    add eax, 0x200000
    add edi, 8
    cmp edi, NPD + 0x1000
    jb .pd
    mov dword [NPD + (GPA >> 21) * 8], NPT | 7
    mov qword [NP_ENABLE], 1
    mov qword [N_CR3], NPML4
    mov rax, 0x0007040600070406
    mov [S_PAT], rax
    mov dword [PA], 0x11223344

    EXPECT_NO_EXIT nop
    ; Not present: error bits P W U (always U), RSVD, I/D; bit 32 = the final address
    EXPECT_NPF 0, 1 << 2, {mov ebx, [GPA]}
    EXPECT_NPF 0x18, 1 << 2 | 1 << 1, {mov [GPA + 0x18], ebx}
    NMAP 0, 7
    EXPECT_NO_EXIT {mov ebx, [GPA]}
    EXPECT_EQ dword [g_rbx], 0x11223344
    EXPECT_BITS [NPT], 0x60, 0x20
    EXPECT_NO_EXIT {mov [GPA], ebx}
    EXPECT_BITS [NPT], 0x60, 0x60
    NMAP 0, 5                           ; read-only
    EXPECT_NO_EXIT {mov ebx, [GPA]}
    EXPECT_NPF 4, 1 << 2 | 1 << 1 | 1, {mov [GPA + 4], ebx}
    NMAP 0, 3                           ; nested accesses are user accesses
    EXPECT_NPF 0, 1 << 2 | 1, {mov ebx, [GPA]}
    NMAP 1 << 19, 7                     ; bit 51: reserved
    EXPECT_NPF 0, 1 << 3 | 1 << 2 | 1, {mov ebx, [GPA]}
    ; A guest fault has priority over a nested one: the guest's page is not present
    EXPECT_GUEST_FAULT 14, 0, mov eax, [0x7FFFF000]
    ; The walk of the guest's tables faults with bit 33: guest CR3 behind an unmapped nested page
    call svm_fresh
    mov dword [NPT], 0
    mov qword [S_CR3], GPA
    mov qword [S_RIP], svm_guest_nop
    mov byte [V_TLB], 1
    call run_guest
    EXPECT_MEM EXITCODE, 0x400
    EXPECT_BITS [EXITINFO1 + 4], 3, 2
    EXPECT_BITS [EXITINFO1], 1, 0
    EXPECT_BITS [EXITINFO2], 0xFFFFF000, GPA
    ; CR3 of the guest may be changed without an exit; host CR3 is untouched
    mov byte [V_TLB], 1
    EXPECT_NO_EXIT {mov rax, cr3}
    ; INVLPGA drops one address of an ASID
    NMAP 0, 7
    EXPECT_NO_EXIT {mov ebx, [GPA]}
    mov byte [V_TLB], 0
    mov dword [NPT], 0
    mov eax, GPA
    mov ecx, 1
    invlpga
    EXPECT_NPF 0, 1 << 2, {mov ebx, [GPA]}
    ; another ASID has its own translations
    NMAP 0, 7
    EXPECT_NO_EXIT {mov ebx, [GPA]}
    mov byte [V_TLB], 0
    mov dword [NPT], 0
    mov dword [V_ASID], 2
    EXPECT_NPF 0, 1 << 2, {mov ebx, [GPA]}
    PASS
