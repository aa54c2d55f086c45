; TRIPS times VMRUN and #VMEXIT on VMMCALL, with nested paging and without a TLB flush: what SVM itself costs an
; emulator. The marks go to port E9H (debugcon), like those of the Linux images.
; manual: APM2 15.5 (VMRUN), 15.6 (#VMEXIT), 15.25 (nested paging)
%include "guest.inc"
%include "long.inc"
%include "svm.inc"

begin_mark: db "BENCH vmrun begin", 10
begin_end:
end_mark:   db "BENCH vmrun end 0", 10
end_end:

main:
    ENTER_LONG
    call svm_start
    ; one to one with 2 MiB pages: the first gigabyte
    mov edi, NPT_TABLES
    mov ecx, 0x3000 / 4
    xor eax, eax
    rep stosd
    mov dword [NPT_TABLES], (NPT_TABLES + 0x1000) | 7
    mov dword [NPT_TABLES + 0x1000], (NPT_TABLES + 0x2000) | 7
    mov edi, NPT_TABLES + 0x2000
    mov eax, 0xE7
.pd:
    mov [edi], eax
    add eax, 0x200000
    add edi, 8
    cmp edi, NPT_TABLES + 0x3000
    jb .pd
    mov qword [NP_ENABLE], 1
    mov qword [N_CR3], NPT_TABLES
    mov rax, 0x0007040600070406
    mov [S_PAT], rax
    mov qword [S_RIP], guest

    mov esi, begin_mark
    mov ecx, begin_end - begin_mark
    mov dx, 0xE9
    rep outsb
    mov ebx, TRIPS
    mov eax, VMCB
    clgi
.trip:
    vmrun
    cmp dword [EXITCODE], 0x81          ; VMMCALL; RIP stays on it
    jne .bad
    dec ebx
    jnz .trip
    stgi
    mov esi, end_mark
    mov ecx, end_end - end_mark
    mov dx, 0xE9
    rep outsb
    PASS
.bad:
    mov ebx, [EXITCODE]
    FAIL
guest:
    vmmcall
    FAIL
