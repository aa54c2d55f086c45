; VM entry: checks on controls (error 7), host state (error 8), guest state (exit reason 33), MSR loading (34).
; models: Westmere, core2duo, max
; manual: SDM 3C 26.1-26.4, 26.7
%include "guest.inc"
%include "long.inc"
%include "vmx.inc"

; BAD7/BAD8 field, value: the entry fails with that error; the field gets its old value back.
%macro bad_ 4
    VMR %3
    mov [old_value], rax
    VMW %3, %4
    mov qword [guest_rip], vm_guest_nop
    call run_guest
    expect_eq_plain_ %1, eax, 1
    expect_field_ %1, VM_INSTRUCTION_ERROR, %2
    mov rax, [old_value]
    VMW %3, rax
%endmacro
%define BAD7 bad_ __?LINE?__, 7,
%define BAD8 bad_ __?LINE?__, 8,
; BADG field, value: the guest's state is refused, qualification 0.
%macro badg_ 4
    VMR %2
    mov [old_value], rax
    VMW %2, %3
    mov qword [guest_rip], vm_guest_nop
    mov byte [launched], 0
    call run_guest
    expect_eq_plain_ %1, eax, 0
    mov byte [launched], 0
    expect_field_ %1, EXIT_REASON, 0x80000021
    expect_field_ %1, EXIT_QUALIFICATION, %4
    mov rax, [old_value]
    VMW %2, rax
%endmacro
%define BADG badg_ __?LINE?__,

main:
    ENTER_LONG
    call vmx_start

    ; --- controls
    BAD7 PIN_BASED_CONTROLS, 0
    BAD7 PIN_BASED_CONTROLS, -1
    BAD7 PRIMARY_CONTROLS, 0
    BAD7 EXIT_CONTROLS, 0
    BAD7 ENTRY_CONTROLS, 0
    BAD7 CR3_TARGET_COUNT, 5
    PROC 1 << 25
    VMW IO_BITMAP_B, IO_MAP
    BAD7 IO_BITMAP_A, IO_MAP + 1
    VMW IO_BITMAP_A, IO_MAP
    BAD7 IO_BITMAP_B, 1 << 52
    PROC 1 << 28
    BAD7 MSR_BITMAP, MSR_MAP + 0x800
    PROC 1 << 21                        ; TPR shadow
    VMW TPR_THRESHOLD, 0
    BAD7 VIRTUAL_APIC_ADDRESS, VIRTUAL_APIC + 4
    VMW VIRTUAL_APIC_ADDRESS, VIRTUAL_APIC
    BAD7 TPR_THRESHOLD, 0x10
    BAD7 TPR_THRESHOLD, 1               ; above the VTPR (0) without APIC-access virtualization
    PROC 0
    PIN 1 << 5                          ; virtual NMIs without NMI exiting
    EXPECT_ENTRY_ERROR 7
    PIN 1 << 3
    PROC 1 << 22                        ; NMI window without virtual NMIs
    EXPECT_ENTRY_ERROR 7
    PIN 0
    PROC 0
    VMW EXIT_MSR_STORE_COUNT, 1
    BAD7 EXIT_MSR_STORE_ADDRESS, FREE + 8
    VMW EXIT_MSR_STORE_COUNT, 0
    ; injected events
    BAD7 ENTRY_INTERRUPTION_INFO, 1 << 31 | 1 << 8        ; reserved type
    BAD7 ENTRY_INTERRUPTION_INFO, 1 << 31 | 2 << 8 | 3    ; NMI with vector 3
    BAD7 ENTRY_INTERRUPTION_INFO, 1 << 31 | 3 << 8 | 32   ; exception above 31
    BAD7 ENTRY_INTERRUPTION_INFO, 1 << 31 | 1 << 11 | 3 << 8 | 6 ; #UD has no error code
    BAD7 ENTRY_INTERRUPTION_INFO, 1 << 31 | 3 << 8 | 13   ; #GP has one
    BAD7 ENTRY_INTERRUPTION_INFO, 1 << 31 | 1 << 12 | 3 << 8 | 6 ; reserved bit
    VMW ENTRY_INSTRUCTION_LENGTH, 0
    BAD7 ENTRY_INTERRUPTION_INFO, 1 << 31 | 4 << 8 | 0x30 ; length 0
    VMW ENTRY_INSTRUCTION_LENGTH, 16
    BAD7 ENTRY_INTERRUPTION_INFO, 1 << 31 | 4 << 8 | 0x30
    VMW ENTRY_EXCEPTION_ERROR, 0x10000
    BAD7 ENTRY_INTERRUPTION_INFO, 1 << 31 | 1 << 11 | 3 << 8 | 13
    VMW ENTRY_EXCEPTION_ERROR, 0

    ; --- host state
    BAD8 HOST_CR0, 0
    BAD8 HOST_CR4, 0
    BAD8 HOST_CR3, 1 << 52
    BAD8 0x6C10, 1 << 47                    ; SYSENTER_ESP, not canonical
    BAD8 HOST_GDTR_BASE, 1 << 47
    BAD8 HOST_TR_BASE, 1 << 47
    BAD8 HOST_RIP, 1 << 47
    BAD8 HOST_CS_SELECTOR, 0
    BAD8 HOST_CS_SELECTOR, CODE64 | 3
    BAD8 HOST_SS_SELECTOR, DATA32 | 4
    BAD8 HOST_TR_SELECTOR, 0
    EXITS 0                             ; a 32-bit host, while in IA-32e mode
    EXPECT_ENTRY_ERROR 8
    EXITS 1 << 9
    ; controls are looked at before host state
    VMW HOST_TR_SELECTOR, 0
    BAD7 CR3_TARGET_COUNT, 5
    VMW HOST_TR_SELECTOR, TSS64SEL

    ; --- guest state: registers
    BADG GUEST_CR0, 0, 0
    BADG GUEST_CR4, 0, 0
    mov rax, cr4
    and eax, ~(1 << 5)                  ; no PAE in IA-32e mode
    mov [g_rbx], rax
    BADG GUEST_CR4, [g_rbx], 0
    BADG GUEST_CR3, 1 << 52, 0
    BADG GUEST_RFLAGS, 0, 0
    BADG GUEST_RFLAGS, 2 | 1 << 3, 0
    BADG GUEST_RFLAGS, 2 | 1 << 17, 0   ; VM in IA-32e mode
    BADG 0x6824, 1 << 47, 0                 ; SYSENTER_ESP
    BADG GUEST_GDTR_BASE, 1 << 47, 0
    BADG GUEST_GDTR_LIMIT, 0x10000, 0
    ENTRY 1 << 9 | 1 << 2               ; with "load debug controls" only
    BADG GUEST_IA32_DEBUGCTL, 1 << 5, 0
    ENTRY 1 << 9
    ; the link pointer: qualification 4
    BADG VMCS_LINK_POINTER, FREE + 8, 4
    ; injected interrupt without IF
    call vm_fresh
    BADG ENTRY_INTERRUPTION_INFO, 1 << 31 | 0x41, 0
    ; segments
    BADG GUEST_CS_SELECTOR, CODE64 | 3, 0 ; RPL of SS and CS differ
    BADG GUEST_CS_ACCESS_RIGHTS, 0xA093, 0 ; data
    BADG GUEST_CS_ACCESS_RIGHTS, 0xE09B, 0 ; L and D
    BADG GUEST_CS_ACCESS_RIGHTS, 0xA01B, 0 ; not present
    BADG GUEST_CS_ACCESS_RIGHTS, 0xA19B, 0 ; reserved bit 8
    BADG GUEST_SS_ACCESS_RIGHTS, 0xC09B, 0
    BADG GUEST_SS_ACCESS_RIGHTS, 0xC0F3, 0 ; DPL is CPL: RPL 0 differs
    BADG GUEST_TR_ACCESS_RIGHTS, 0x89, 0 ; available, not busy
    BADG GUEST_TR_ACCESS_RIGHTS, 0x1008B, 0
    BADG GUEST_TR_SELECTOR, TSS64SEL | 4, 0
    BADG GUEST_TR_BASE, 1 << 47, 0
    ; activity and interruptibility
    BADG GUEST_ACTIVITY_STATE, 4, 0
    BADG GUEST_INTERRUPTIBILITY, 3, 0   ; STI and MOV SS
    BADG GUEST_INTERRUPTIBILITY, 1, 0   ; STI with IF = 0
    BADG GUEST_INTERRUPTIBILITY, 1 << 5, 0
    VMW GUEST_ACTIVITY_STATE, 1
    BADG GUEST_INTERRUPTIBILITY, 2, 0   ; HLT and MOV SS
    VMW GUEST_ACTIVITY_STATE, 0
    BADG GUEST_PENDING_DEBUG, 1 << 4, 0
    ; After a failed entry everything is as it was: VMRESUME/VMLAUNCH goes on
    EXPECT_NO_EXIT nop
    EXPECT_FIELD EXIT_REASON, 18

    ; --- MSR loading: reason 34, qualification = number of the entry
    mov dword [FREE], 0xC0000081        ; STAR: fine
    mov dword [FREE + 4], 0
    mov qword [FREE + 8], 0x1111
    mov dword [FREE + 16], 0xC0000100   ; FS base: never by list
    mov dword [FREE + 20], 0
    VMW ENTRY_MSR_LOAD_ADDRESS, FREE
    VMW ENTRY_MSR_LOAD_COUNT, 2
    call vm_fresh
    mov qword [guest_rip], vm_guest_nop
    call run_guest
    EXPECT_EQ eax, 0
    EXPECT_FIELD EXIT_REASON, 0x80000022
    EXPECT_FIELD EXIT_QUALIFICATION, 2
    VMW ENTRY_MSR_LOAD_COUNT, 1
    VMW EXIT_MSR_STORE_ADDRESS, FREE + 0x100
    VMW EXIT_MSR_STORE_COUNT, 1
    mov dword [FREE + 0x100], 0xC0000081
    mov dword [FREE + 0x104], 0
    EXPECT_NO_EXIT nop
    EXPECT_EQ dword [FREE + 0x108], 0x1111
    PASS
old_value: dq 0
