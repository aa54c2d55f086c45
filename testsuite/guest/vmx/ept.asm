; EPT: violations with their qualification, misconfigurations, second-stage faults of page walks, INVEPT, VPID.
; models: Westmere, max
; manual: SDM 3C 28.2, 28.3, 27.2.1 (table 27-7)
%include "guest.inc"
%include "long.inc"
%include "vmx.inc"

%define EPML4 EPT_TABLES
%define EPDPT (EPT_TABLES + 0x1000)
%define EPD   (EPT_TABLES + 0x2000)
%define EPT   (EPT_TABLES + 0x3000)
%define GPA   0x1000000
%define PA    (FREE + 0x60000)
%define WB    (6 << 3)

%macro EMAP 2
    mov dword [EPT], PA | (%2)
    mov dword [EPT + 4], %1
    mov eax, 2
    invept rax, [zero16]
%endmacro
; EXPECT_VIOLATION offset, qualification, instruction
%macro expect_violation_ 4+
    call vm_fresh
    mov qword [guest_rip], %%guest
    call run_guest
    jmp %%check
%%guest:
    %4
    vmcall
%%check:
    expect_eq_plain_ %1, eax, 0
    expect_field_ %1, EXIT_REASON, 48
    expect_field_ %1, EXIT_QUALIFICATION, %3
    expect_field_ %1, GUEST_PHYSICAL_ADDRESS, GPA + %2
    expect_field_ %1, GUEST_LINEAR_ADDRESS, GPA + %2
    expect_field_ %1, GUEST_RIP, %%guest
%endmacro
%define EXPECT_VIOLATION expect_violation_ __?LINE?__,
%macro expect_misconfig_ 2+
    call vm_fresh
    mov qword [guest_rip], %%guest
    call run_guest
    jmp %%check
%%guest:
    %2
    vmcall
%%check:
    expect_eq_plain_ %1, eax, 0
    expect_field_ %1, EXIT_REASON, 49
    expect_field_ %1, GUEST_PHYSICAL_ADDRESS, GPA
    expect_field_ %1, GUEST_RIP, %%guest
%endmacro
%define EXPECT_MISCONFIG expect_misconfig_ __?LINE?__,
%define VALID_LINEAR (1 << 7 | 1 << 8)  ; the linear address is valid; the final translation

main:
    ENTER_LONG
    call vmx_start
    mov edi, EPT_TABLES
    mov ecx, 0x4000 / 4
    xor eax, eax
    rep stosd
    mov dword [EPML4], EPDPT | 7
    mov dword [EPDPT], EPD | 7
    mov edi, EPD
    mov eax, 0x87 | WB
.pd:
    mov [edi], eax
    add eax, 0x200000
    add edi, 8
    cmp edi, EPD + 0x1000
    jb .pd
    mov dword [EPD + (GPA >> 21) * 8], EPT | 7
    mov dword [PA], 0x112233C3
    PROC 1 << 31
    PROC2 1 << 1
    VMW EPT_POINTER, EPML4 | 3 << 3 | 6

    EXPECT_NO_EXIT nop
    EXPECT_VIOLATION 0, 1 | VALID_LINEAR, {mov ebx, [GPA]}
    EXPECT_VIOLATION 8, 2 | VALID_LINEAR, {mov [GPA + 8], ebx}
    ; fetch
    call vm_fresh
    mov qword [guest_rip], GPA
    call run_guest
    EXPECT_FIELD EXIT_REASON, 48
    EXPECT_FIELD EXIT_QUALIFICATION, 4 | VALID_LINEAR
    EXPECT_FIELD GUEST_PHYSICAL_ADDRESS, GPA
    ; the entry's permissions in 5:3
    EMAP 0, 5 | WB                      ; read, execute
    EXPECT_NO_EXIT {mov ebx, [GPA]}
    EXPECT_EQ dword [g_rbx], 0x112233C3
    EXPECT_VIOLATION 4, 2 | 5 << 3 | VALID_LINEAR, {mov [GPA + 4], ebx}
    ; a read-modify-write may be reported as read and write: at least the write counts
    EMAP 0, 3 | WB
    call vm_fresh
    mov qword [guest_rip], GPA
    call run_guest
    EXPECT_FIELD EXIT_REASON, 48
    EXPECT_FIELD EXIT_QUALIFICATION, 4 | 3 << 3 | VALID_LINEAR
    EMAP 0, 7 | WB
    mov rax, GUEST_STACK
    call .call_guest                    ; RET at PA in the guest
    EXPECT_FIELD EXIT_REASON, 18
    ; misconfigurations: write without read, execute-only without support, reserved bits, memory type
    EMAP 0, 2 | WB
    EXPECT_MISCONFIG {mov ebx, [GPA]}
    EMAP 0, 6 | WB
    EXPECT_MISCONFIG {mov ebx, [GPA]}
    EMAP 0, 7 | 2 << 3
    EXPECT_MISCONFIG {mov ebx, [GPA]}
    EMAP 1 << 19, 7 | WB
    EXPECT_MISCONFIG {mov ebx, [GPA]}
    ; not present in an upper level
    mov dword [EPD + (GPA >> 21) * 8], 0
    mov eax, 2
    invept rax, [zero16]
    EXPECT_VIOLATION 0, 1 | VALID_LINEAR, {mov ebx, [GPA]}
    mov dword [EPD + (GPA >> 21) * 8], EPT | 7
    EMAP 0, 0
    ; the guest's paging structures behind an unmapped page: bit 8 = 0
    call vm_fresh
    VMW GUEST_CR3, GPA
    mov qword [guest_rip], vm_guest_nop
    call run_guest
    EXPECT_FIELD EXIT_REASON, 48
    VMR EXIT_QUALIFICATION
    EXPECT_BITS eax, 0x180, 0x80
    VMR GUEST_PHYSICAL_ADDRESS
    EXPECT_BITS eax, 0xFFFFF000, GPA
    mov rax, cr3
    VMW GUEST_CR3, rax
    ; a guest fault comes first
    EXPECT_GUEST_FAULT 14, 0, {mov eax, [0x7FFFF000]}
    ; an EPT violation during event delivery: the vectoring information is valid
    call vm_fresh
    VMW GUEST_RSP, GPA + 0x800
    VMW ENTRY_INTERRUPTION_INFO, 1 << 31 | 3 << 8 | 6
    mov qword [guest_rip], vm_guest_nop
    call run_guest
    EXPECT_FIELD EXIT_REASON, 48
    EXPECT_FIELD IDT_VECTORING_INFO, 1 << 31 | 3 << 8 | 6
    EXPECT_FIELD GUEST_RIP, vm_guest_nop
    VMR EXIT_QUALIFICATION
    EXPECT_BITS eax, 0x182, 0x182
    ; stale translations stay until INVEPT
    EMAP 0, 7 | WB
    EXPECT_NO_EXIT {mov ebx, [GPA]}
    ; VPID: translations survive entry and exit, INVVPID drops them
    VMW VPID, 1
    PROC2 1 << 1 | 1 << 5
    mov dword [PT_FREE], PA | 7
    EXPECT_NO_EXIT {mov ebx, [GPA]}
    VMW VPID, 0
    EXPECT_ENTRY_ERROR 7                ; VPID 0 is not allowed
    VMW VPID, 1
    ; bad EPT pointers
    VMW EPT_POINTER, EPML4 | 3 << 3 | 1 ; memory type 1
    EXPECT_ENTRY_ERROR 7
    VMW EPT_POINTER, EPML4 | 2 << 3 | 6 ; walk length
    EXPECT_ENTRY_ERROR 7
    VMW EPT_POINTER, EPML4 | 3 << 3 | 6 | 1 << 7
    EXPECT_ENTRY_ERROR 7
    VMW EPT_POINTER, EPML4 | 3 << 3 | 6
    EXPECT_NO_EXIT nop

    ; Unrestricted guest: real mode without paging
    PROC2 1 << 1 | 1 << 7
    ENTRY 0
    EXITS 1 << 9
    call vm_fresh
    VMW GUEST_CR0, 1 << 5
    VMW GUEST_CR4, 1 << 13
    segment_ 0, 0x1000, 0x10000, 0xFFFF, 0x93
    segment_ 1, 0x1000, 0x10000, 0xFFFF, 0x9B
    segment_ 2, 0x2000, 0x20000, 0xFFFF, 0x93
    segment_ 3, 0x1000, 0x10000, 0xFFFF, 0x93
    segment_ 4, 0x1000, 0x10000, 0xFFFF, 0x93
    segment_ 5, 0x1000, 0x10000, 0xFFFF, 0x93
    VMW GUEST_RSP, 0xA000
    mov qword [guest_rip], real_guest - BASE
    call run_guest
    EXPECT_EQ eax, 0
    EXPECT_FIELD EXIT_REASON, 10
    EXPECT_FIELD GUEST_RIP, real_guest_exit - BASE
    EXPECT_EQ word [g_rbx], 0x5A5A
    ; ... into protected mode by the guest: CS keeps its rights until the far jump
    call continue_after_cpuid
    EXPECT_FIELD EXIT_REASON, 10
    VMR GUEST_CR0
    EXPECT_BITS eax, 1, 1
    EXPECT_FIELD GUEST_CS_ACCESS_RIGHTS, 0x9B
    call continue_after_cpuid
    EXPECT_FIELD EXIT_REASON, 10
    EXPECT_FIELD GUEST_CS_SELECTOR, CODE32
    EXPECT_FIELD GUEST_CS_ACCESS_RIGHTS, 0xC09B
    PASS

.call_guest:
    call vm_fresh
    mov qword [GUEST_STACK], vm_guest_nop
    mov qword [guest_rip], GPA
    call run_guest
    ret
continue_after_cpuid:
    VMR GUEST_RIP
    add rax, 2
    mov [guest_rip], rax
    jmp run_guest
bits 16
real_guest:
    mov bx, 0x5A5A
    push bx
    pop bx
real_guest_exit:
    cpuid
    mov eax, cr0
    or al, 1
    mov cr0, eax
    cpuid
    jmp dword CODE32:.flat
bits 32
.flat:
    cpuid
align 16
zero16: dq 0, 0
