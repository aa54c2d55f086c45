; TPR shadow, virtual-APIC page, APIC-access page, CR8 in a guest.
; models: Westmere, core2duo, max
; manual: SDM 3C 29.1-29.4, 27.2.1 (table 27-8), 26.6.7
%include "guest.inc"
%include "long.inc"
%include "vmx.inc"

%define APIC_PAGE (FREE + 0x17000)
%define VTPR (VIRTUAL_APIC + 0x80)

main:
    ENTER_LONG
    call vmx_start
    VMW VIRTUAL_APIC_ADDRESS, VIRTUAL_APIC
    VMW TPR_THRESHOLD, 0
    PROC 1 << 21
    ; CR8 is VTPR 7:4
    mov byte [VTPR], 0x50
    EXPECT_NO_EXIT {mov rbx, cr8}
    EXPECT_EQ dword [g_rbx], 5
    mov qword [g_rbx], 9
    EXPECT_NO_EXIT {mov cr8, rbx}
    EXPECT_EQ dword [VTPR], 0x90
    mov rax, cr8
    EXPECT_EQ eax, 0                    ; the real one is untouched
    mov qword [g_rbx], 0x10             ; reserved bits fault all the same
    EXPECT_GUEST_FAULT 13, 0, mov cr8, rbx
    ; below the threshold: a trap-like exit behind the MOV
    VMW TPR_THRESHOLD, 6
    mov qword [g_rbx], 5
    call vm_fresh
    mov qword [guest_rip], write_cr8
    call run_guest
    EXPECT_FIELD EXIT_REASON, 43
    EXPECT_FIELD GUEST_RIP, write_cr8_next
    EXPECT_EQ dword [VTPR], 0x50
    mov byte [VTPR], 0x60               ; not below: no exit
    mov qword [g_rbx], 6
    EXPECT_NO_EXIT {mov cr8, rbx}
    VMW TPR_THRESHOLD, 0

    ; the APIC-access page: accesses exit with offset and kind; the TPR at 80H reads the shadow
    PROC 1 << 21 | 1 << 31
    PROC2 1
    VMW APIC_ACCESS_ADDRESS, APIC_PAGE
    mov byte [VTPR], 0x30
    EXPECT_NO_EXIT {mov ebx, [APIC_PAGE + 0x80]}
    EXPECT_EQ dword [g_rbx], 0x30
    mov qword [g_rbx], 0x40
    EXPECT_NO_EXIT {mov [APIC_PAGE + 0x80], ebx}
    EXPECT_EQ dword [VTPR], 0x40
    EXPECT_EXIT 44, 0x20, ANY, mov ebx, [APIC_PAGE + 0x20]
    EXPECT_EXIT 44, 0x300 | 1 << 12, ANY, mov [APIC_PAGE + 0x300], ebx
    EXPECT_EXIT 44, 0xB0 | 1 << 12, ANY, mov dword [APIC_PAGE + 0xB0], 0
    call vm_fresh                       ; instruction fetch
    mov qword [guest_rip], APIC_PAGE + 0x100
    call run_guest
    EXPECT_FIELD EXIT_REASON, 44
    EXPECT_FIELD EXIT_QUALIFICATION, 0x100 | 2 << 12
    ; during event delivery: the stack lies on the page
    call vm_fresh
    VMW GUEST_RSP, APIC_PAGE + 0x400
    VMW ENTRY_INTERRUPTION_INFO, 1 << 31 | 3 << 8 | 6
    mov qword [guest_rip], vm_guest_nop
    call run_guest
    EXPECT_FIELD EXIT_REASON, 44
    VMR EXIT_QUALIFICATION
    EXPECT_BITS eax, 0xF000, 3 << 12
    EXPECT_FIELD IDT_VECTORING_INFO, 1 << 31 | 3 << 8 | 6
    ; the same page is ordinary memory for the hypervisor
    mov dword [APIC_PAGE + 0x20], 0x600D
    EXPECT_EQ dword [APIC_PAGE + 0x20], 0x600D
    ; checks at entry
    VMW APIC_ACCESS_ADDRESS, APIC_PAGE + 4
    EXPECT_ENTRY_ERROR 7
    PASS
write_cr8:
    mov cr8, rbx
write_cr8_next:
    nop
    vmcall
