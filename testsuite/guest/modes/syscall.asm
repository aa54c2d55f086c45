; SYSENTER/SYSEXIT and SYSCALL/SYSRET in protected, compatibility and 64-bit mode; SWAPGS; FS and GS bases.
; models: Westmere, barcelona, core2duo, max
; manual: SDM 3A 5.8.7, 5.8.8; SDM 2 SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS; APM2 6.1
%include "guest.inc"
%include "long.inc"

; Descriptors in the order these instructions assume, from FREESEL on:
; +0 kernel code, +8 kernel stack, +10 user code (32 bits), +18 user stack, +20 user code (64 bits), +28 user stack
%define KCS FREESEL
%define UCS (FREESEL + 0x10)

main:
    SET_DESC KCS, 0x00CF9B00, 0x0000FFFF
    SET_DESC (KCS + 8), 0x00CF9300, 0x0000FFFF
    SET_DESC UCS, 0x00CFFB00, 0x0000FFFF
    SET_DESC (UCS + 8), 0x00CFF300, 0x0000FFFF
    SET_DESC (UCS + 0x10), 0x00AFFB00, 0x0000FFFF
    SET_DESC (UCS + 0x18), 0x00CFF300, 0x0000FFFF

    ; --- vendor: SYSENTER does not exist in AMD's long mode, SYSCALL not in Intel's 32-bit modes
    xor eax, eax
    cpuid
    xor eax, eax
    cmp ebx, 'Auth'
    sete [amd]

    ; --- SYSENTER, SYSEXIT, 32 bits
    mov ecx, 0x174
    xor eax, eax
    xor edx, edx
    wrmsr
    EXPECT_FAULT 13, 0, sysenter        ; SYSENTER_CS = 0
    EXPECT_FAULT 13, 0, sysexit
    WRMSR32 0x174, 0, KCS
    WRMSR32 0x175, 0, STACK1
    WRMSR32 0x176, 0, .entered
    EXPECT_USER 13, 0, sysexit
    mov edx, .user
    mov ecx, STACK3
    sysexit
.user:
    mov ax, cs
    cmp ax, UCS | 3
    jne .bad
    mov ax, ss
    cmp ax, (UCS + 8) | 3
    jne .bad
    cmp esp, STACK3
    jne .bad
    sysenter
.bad:
    ud2
.entered:
    EXPECT_EQ esp, STACK1
    mov ax, cs
    EXPECT_EQ ax, KCS
    mov ax, ss
    EXPECT_EQ ax, KCS + 8
    pushfd
    pop eax
    test eax, 0x200                     ; IF is clear
    EXPECT_IF z
    mov eax, DATA32
    mov ss, ax
    mov ds, ax
    mov esp, STACK0
    jmp CODE32:.next
.next:
    cmp byte [amd], 1
    je .amd_legacy
    EXPECT_FAULT 6, 0, syscall
    jmp .long
.amd_legacy:
    EXPECT_FAULT 6, 0, syscall          ; EFER.SCE = 0
    RDMSR32 0xC0000080
    or al, 1
    wrmsr
    WRMSR32 0xC0000081, KCS | (UCS | 3) << 16, .legacy_entry

    go_user_ .legacy_user
.legacy_user:
    syscall
.legacy_back:
    int NO_FAULT
.legacy_entry:
    mov ax, cs
    EXPECT_EQ ax, KCS
    EXPECT_EQ ecx, .legacy_back
    CATCH .legacy_done
    sysret
.legacy_done:
    EXPECT_EXC NO_FAULT, 0, 0
    EXPECT_EQ dword [exc_cs], UCS | 3

.long:
    ENTER_LONG
    mov ecx, 0xC0000080
    rdmsr
    and al, ~1
    wrmsr
    EXPECT_FAULT 6, 0, syscall
    EXPECT_FAULT 6, 0, o64 sysret
    mov ecx, 0xC0000080
    rdmsr
    or al, 1
    wrmsr
    WRMSR32 0xC0000081, KCS | (UCS | 3) << 16, 0 ; STAR: SYSRET's CS is UCS + 10H for 64 bits
    ; kernel code must be 64-bit here
    SET_DESC KCS, 0x00AF9B00, 0x0000FFFF
    WRMSR32 0xC0000082, 0, .call64
    WRMSR32 0xC0000083, 0, .call_compat
    WRMSR32 0xC0000084, 0, 0x4700       ; FMASK: NT, DF, IF, TF
    EXPECT_USER 13, 0, o64 sysret
    ; from ring 3, 64 bits
    mov qword [user_flags], 0xC02       ; DF, OF
    CATCH .done64
    go_user_ .user64
.user64:
    syscall
.back64:
    int NO_FAULT
.call64:
    pushfq
    pop r10
    mov ax, cs
    EXPECT_EQ ax, KCS
    mov ax, ss
    EXPECT_EQ ax, KCS + 8
    EXPECT_EQ ecx, .back64
    EXPECT_EQ r11d, 0xC02               ; the flags of the caller
    mov ebx, esp
    EXPECT_EQ ebx, STACK3               ; RSP is not switched
    and r10d, 0xC00
    EXPECT_EQ r10d, 0x800               ; DF masked, OF kept
    o64 sysret
.done64:
    EXPECT_EXC NO_FAULT, 0, .back64 + 2
    EXPECT_EQ dword [exc_cs], (UCS + 0x10) | 3
    EXPECT_EQ dword [exc_ss], (UCS + 8) | 3
    EXPECT_BITS [exc_flags], 0xC00, 0xC00
    mov qword [user_flags], 2
    ; to a non-canonical RCX: #GP, on Intel at the SYSRET in ring 0
    mov rcx, 1 << 47
    mov r11d, 2
    cmp byte [amd], 1
    je .no_canonical
    EXPECT_FAULT 13, 0, o64 sysret
    EXPECT_EQ dword [exc_cs], CODE64
.no_canonical:
    ; SYSRET to 32-bit code
    mov ecx, .compat_user
    mov r11d, 2
    CATCH .compat_done
    o32 sysret
bits 32
.compat_user:
    int NO_FAULT
bits 64
.compat_done:
    EXPECT_EXC NO_FAULT, 0, 0
    EXPECT_EQ dword [exc_cs], UCS | 3
    ; SYSCALL from compatibility mode: AMD goes to CSTAR, Intel raises #UD
    mov ecx, .compat_call
    mov r11d, 2
    CATCH .compat_called
    o32 sysret
bits 32
.compat_call:
    syscall
.compat_return:
    int NO_FAULT
bits 64
.call_compat:
    EXPECT_EQ ecx, .compat_return
    mov esp, STACK0
    ud2                                 ; as Intel's #UD, but from here
.compat_called:
    EXPECT_EQ dword [exc_vec], 6
    cmp byte [amd], 1
    je .from_cstar
    EXPECT_EQ dword [exc_cs], UCS | 3
.from_cstar:

    ; --- SYSENTER in 64-bit mode
    cmp byte [amd], 1
    jne .intel_sysenter
    EXPECT_FAULT 6, 0, sysenter
    EXPECT_FAULT 6, 0, sysexit
    jmp .bases
.intel_sysenter:
    WRMSR32 0x174, 0, KCS
    WRMSR32 0x175, 0, STACK1
    WRMSR32 0x176, 0, .entered64
    go_user_ .user_sysenter
.user_sysenter:
    sysenter
.entered64:
    mov ebx, esp
    EXPECT_EQ ebx, STACK1
    mov ax, cs
    EXPECT_EQ ax, KCS
    mov esp, STACK0
    mov edx, .exited64
    mov ecx, STACK3
    CATCH .exit_done
    o64 sysexit
.exited64:
    int NO_FAULT
.exit_done:
    EXPECT_EXC NO_FAULT, 0, 0
    EXPECT_EQ dword [exc_cs], (UCS + 0x10) | 3
    EXPECT_EQ dword [exc_ss], (UCS + 0x18) | 3

.bases:
    ; --- FS and GS bases, SWAPGS
    WRMSR32 0xC0000100, 0x1234, 0x5000
    mov qword [SCRATCH], 0x1111
    mov ecx, 0xC0000101
    mov eax, SCRATCH
    xor edx, edx
    wrmsr
    mov qword [SCRATCH + 0x100], 0x2222
    mov ecx, 0xC0000102
    mov eax, SCRATCH + 0x100
    wrmsr
    EXPECT_EQ dword [gs:abs 0], 0x1111
    swapgs
    EXPECT_EQ dword [gs:abs 0], 0x2222
    RDMSR32 0xC0000101
    EXPECT_EQ eax, SCRATCH + 0x100
    swapgs
    EXPECT_USER 13, 0, swapgs
    RDMSR32 0xC0000100
    EXPECT_EQ edx, 0x1234
    xor eax, eax                        ; a null selector: base 0 (Intel), kept on AMD
    mov fs, ax
    RDMSR32 0xC0000100
    cmp byte [amd], 1
    je .done
    EXPECT_EQ edx, 0
    EXPECT_EQ eax, 0
    ; RDFSBASE needs CR4.FSGSBASE
    EXPECT_FAULT 6, 0, rdfsbase rax
.done:
    PASS
amd: dd 0
