; Guests of other modes: 32-bit with its own paging, PAE, virtual-8086; task switches; what entry and exit save.
; models: Westmere, core2duo, max
; manual: SDM 3C 25.4.2, 26.3, 27.2.1 (table 27-6), 27.3, 27.5
%include "guest.inc"
%include "long.inc"
%include "vmx.inc"

%define PD32 (FREE + 0x30000)           ; a 32-bit page directory, 4 MiB pages
%define PDPT_PAE (FREE + 0x31000)
%define TSS_B (FREE + 0x32000)

%macro expect_refused_ 1
    mov byte [launched], 0
    call run_guest
    expect_eq_plain_ %1, eax, 0
    mov byte [launched], 0
    expect_field_ %1, EXIT_REASON, 0x80000021
%endmacro
%define EXPECT_REFUSED expect_refused_ __?LINE?__

main:
    ENTER_LONG
    call vmx_start
    mov dword [PD32], 0x83
    mov dword [PD32 + 4], 0x400083
    mov dword [PD32 + (LAPIC >> 22) * 4], (LAPIC & 0xFFC00000) | 0x83

    ; --- 32-bit guest, 32-bit paging
    call set_32
    VMW EXCEPTION_BITMAP, 0
    call vm_fresh
    mov qword [guest_rip], guest32
    call run_guest
    EXPECT_EQ eax, 0
    EXPECT_FIELD EXIT_REASON, 10
    EXPECT_FIELD GUEST_RIP, guest32_cpuid
    EXPECT_EQ dword [g_rbx], 0x12345679
    ; the host is in 64-bit mode again, whatever the guest was
    mov ecx, 0xC0000080
    rdmsr
    EXPECT_BITS eax, 0x500, 0x500
    ; MOV to CR0 that leaves paging is #GP in the guest: PG and PE are fixed (no unrestricted guest)
    mov dword [catch_ip], gp32
    mov dword [catch_sp], GUEST_STACK
    call idt_32
    mov qword [guest_rip], clear_pg
    call run_guest
    EXPECT_FIELD EXIT_REASON, 10
    EXPECT_FIELD GUEST_RIP, gp32_cpuid
    EXPECT_EQ dword [exc_vec], 13

    ; --- task switches exit: selector in 15:0, source in 31:30
    mov dword [gdt + FREESEL], 0x00000067 | (TSS_B & 0xFFFF) << 16
    mov dword [gdt + FREESEL + 4], 0x00008900 | (TSS_B >> 16)
    call vm_fresh
    mov qword [guest_rip], jump_task
    call run_guest
    EXPECT_FIELD EXIT_REASON, 9
    EXPECT_FIELD EXIT_QUALIFICATION, FREESEL | 2 << 30
    EXPECT_FIELD EXIT_INSTRUCTION_LENGTH, 7
    EXPECT_FIELD GUEST_RIP, jump_task
    call vm_fresh
    mov qword [guest_rip], call_task
    call run_guest
    EXPECT_FIELD EXIT_REASON, 9
    EXPECT_FIELD EXIT_QUALIFICATION, FREESEL
    ; a task gate in the IDT: source 3, and the vectoring information tells the event
    mov dword [IDT32 + 6 * 8], FREESEL << 16
    mov dword [IDT32 + 6 * 8 + 4], 0x8500
    call vm_fresh
    mov qword [guest_rip], ud_32
    call run_guest
    EXPECT_FIELD EXIT_REASON, 9
    EXPECT_FIELD EXIT_QUALIFICATION, FREESEL | 3 << 30
    EXPECT_FIELD IDT_VECTORING_INFO, 1 << 31 | 3 << 8 | 6
    ; the checks before the switch still fault: a busy TSS
    mov byte [gdt + FREESEL + 5], 0x8B
    mov dword [catch_ip], gp32
    mov dword [exc_vec], 0
    call vm_fresh
    mov qword [guest_rip], jump_task
    call run_guest
    EXPECT_FIELD EXIT_REASON, 10
    EXPECT_EQ dword [exc_vec], 13
    EXPECT_EQ dword [exc_err], FREESEL

    ; --- PAE guest: PDPTEs are checked at entry (qualification 2) and loaded
    mov dword [PDPT_PAE], PD0 | 1
    mov dword [PDPT_PAE + 24], PD3 | 1
    mov rax, cr4
    VMW GUEST_CR4, rax
    VMW GUEST_CR3, PDPT_PAE
    call vm_fresh
    mov qword [guest_rip], guest32
    call run_guest
    EXPECT_EQ eax, 0
    EXPECT_FIELD EXIT_REASON, 10
    mov dword [PDPT_PAE + 8], 1 | 1 << 1 ; reserved bit
    mov byte [launched], 0
    mov qword [region_pointer], VMCS_REGION
    vmclear [region_pointer]
    vmptrld [region_pointer]
    call run_guest
    EXPECT_EQ eax, 0
    EXPECT_FIELD EXIT_REASON, 0x80000021
    EXPECT_FIELD EXIT_QUALIFICATION, 2
    mov byte [launched], 0
    mov dword [PDPT_PAE + 8], 0

    ; --- virtual-8086 guest: segments must be as 8086 has them
    mov rax, cr4
    and eax, ~(1 << 5)
    or eax, 1 << 4
    VMW GUEST_CR4, rax
    VMW GUEST_CR3, PD32
    segment_ 0, 0x1000, 0x10000, 0xFFFF, 0xF3
    segment_ 1, 0x1000, 0x10000, 0xFFFF, 0xF3
    segment_ 2, 0x2000, 0x20000, 0xFFFF, 0xF3
    segment_ 3, 0x1000, 0x10000, 0xFFFF, 0xF3
    segment_ 4, 0x1000, 0x10000, 0xFFFF, 0xF3
    segment_ 5, 0x1000, 0x10000, 0xFFFF, 0xF3
    mov dword [PD32], 0x87              ; user
    call v86_fresh
    mov qword [guest_rip], guest86 - BASE
    call run_guest
    EXPECT_EQ eax, 0
    EXPECT_FIELD EXIT_REASON, 10
    EXPECT_FIELD GUEST_RIP, guest86_cpuid - BASE
    EXPECT_EQ word [g_rbx], 0x1000
    EXPECT_FIELD GUEST_CS_ACCESS_RIGHTS, 0xF3
    ; every exception exits (how a hypervisor without unrestricted guest emulates real mode)
    VMW EXCEPTION_BITMAP, -1
    call v86_fresh
    mov qword [guest_rip], guest86_int - BASE
    call run_guest
    EXPECT_FIELD EXIT_REASON, 0
    EXPECT_FIELD EXIT_INTERRUPTION_INFO, 1 << 31 | 3 << 8 | 1 << 11 | 13
    EXPECT_FIELD EXIT_INTERRUPTION_ERROR, 0
    EXPECT_FIELD GUEST_RIP, guest86_int - BASE
    VMW EXCEPTION_BITMAP, 0
    ; a base that is not selector * 16, a limit, rights: refused
    mov qword [region_pointer], VMCS_REGION
    vmclear [region_pointer]
    vmptrld [region_pointer]
    mov byte [launched], 0
    call v86_fresh
    VMW GUEST_CS_BASE, 0x10010
    mov qword [guest_rip], guest86 - BASE
    EXPECT_REFUSED
    VMW GUEST_CS_BASE, 0x10000
    VMW GUEST_ES_LIMIT, 0xFFFFF
    EXPECT_REFUSED
    VMW GUEST_ES_LIMIT, 0xFFFF
    VMW GUEST_SS_ACCESS_RIGHTS, 0x93
    EXPECT_REFUSED
    VMW GUEST_SS_ACCESS_RIGHTS, 0xF3
    call run_guest
    EXPECT_FIELD EXIT_REASON, 10

    ; --- after an exit: DR7 = 400H, RFLAGS = 2, segments of the host are flat, NMIs not blocked
    mov rax, dr7
    EXPECT_EQ eax, 0x400
    PASS

v86_fresh:
    call vm_fresh
    VMW GUEST_RFLAGS, 2 | 1 << 17
    VMW GUEST_RSP, 0x8000
    ret

set_32:
    ENTRY 0
    mov rax, cr4
    and eax, ~(1 << 5)
    or eax, 1 << 4
    VMW GUEST_CR4, rax
    VMW GUEST_CR3, PD32
    segment_ 0, DATA32, 0, 0xFFFFFFFF, 0xC093
    segment_ 1, CODE32, 0, 0xFFFFFFFF, 0xC09B
    segment_ 2, DATA32, 0, 0xFFFFFFFF, 0xC093
    segment_ 3, DATA32, 0, 0xFFFFFFFF, 0xC093
    segment_ 7, TSSSEL, TSS32, 0x2067, 0x8B
    ret
idt_32:
    VMW GUEST_IDTR_BASE, IDT32
    VMW GUEST_IDTR_LIMIT, 128 * 8 - 1
    jmp vm_fresh

bits 32
guest32:
    mov ebx, 0x12345678
    db 0x43                             ; INC EBX: 32-bit code
    push ebx
    pop ebx
guest32_cpuid:
    cpuid
clear_pg:
    mov eax, cr0
    and eax, ~(1 << 31)
    mov cr0, eax
    jmp $
gp32:
    nop
gp32_cpuid:
    cpuid
jump_task:
    jmp FREESEL:0
call_task:
    call FREESEL:0
ud_32:
    ud2
bits 16
guest86:
    mov bx, cs
guest86_cpuid:
    cpuid
guest86_int:
    int 0x10
bits 32
