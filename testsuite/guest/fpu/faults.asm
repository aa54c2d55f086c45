; x87 and SSE exceptions and state: #NM, #MF (deferred), #XM, masked results, FXSAVE, XSAVE, #UD rules.
; models: Westmere, barcelona, max
; manual: SDM 1 8.3-8.7, 11.5, 13.4-13.8; SDM 3A 2.5, 6.15 (#NM, #MF, #XM)
%include "guest.inc"
%include "long.inc"

%macro CR0_BITS 2                       ; set, clear
    mov eax, cr0
    or eax, %1
    and eax, ~(%2)
    mov cr0, eax
%endmacro

main:
    ; EM: x87 is #NM, WAIT is not; MP and TS: WAIT is
    CR0_BITS 4, 8 | 2
    EXPECT_FAULT 7, 0, fld1
    EXPECT_FAULT 7, 0, fninit
    wait
    EXPECT_FAULT 6, 0, {movaps xmm0, xmm1}
    EXPECT_FAULT 6, 0, {paddb mm0, mm1}
    CR0_BITS 8, 4 | 2
    EXPECT_FAULT 7, 0, fld1
    wait
    CR0_BITS 8 | 2, 0
    EXPECT_FAULT 7, 0, wait
    EXPECT_FAULT 7, 0, {paddb mm0, mm1}
    clts
    CR0_BITS 1 << 5 | 2, 0              ; NE
    fninit
    fnstcw [SCRATCH]
    EXPECT_EQ word [SCRATCH], 0x37F
    fnstsw ax
    EXPECT_EQ ax, 0

    ; #MF: reported by the next waiting instruction, with its own address; FNSTSW does not wait
    mov word [SCRATCH], 0x37B           ; divide by zero unmasked
    fldcw [SCRATCH]
    fld1
    fldz
.div:
    fdivp
    fnstsw ax
    EXPECT_BITS eax, 0x8084, 0x8084     ; B, ES, ZE
    EXPECT_FAULT 16, 0, fld1
    EXPECT_FAULT 16, 0, wait
    fnstenv [SCRATCH]                   ; the pointer names the division
    EXPECT_EQ dword [SCRATCH + 12], .div
    fnclex
    fld1
    fninit
    ; masked: infinity, ZE stays in the status word
    fld1
    fldz
    fdivp
    fstp qword [SCRATCH]
    EXPECT_EQ dword [SCRATCH + 4], 0x7FF00000
    fnstsw ax
    test al, 4
    EXPECT_IF nz
    ; stack underflow and overflow: IE, SF, C1
    fninit
    fstp qword [SCRATCH]
    fnstsw ax
    EXPECT_BITS eax, 0x241, 0x41
    EXPECT_EQ dword [SCRATCH + 4], 0xFFF80000 ; the indefinite
    fninit
    fld1
    fld1
    fld1
    fld1
    fld1
    fld1
    fld1
    fld1
    fld1
    fnstsw ax
    EXPECT_BITS eax, 0x241, 0x241
    fninit
    ; MMX: tags valid, TOP 0; EMMS empties
    movd mm3, esp
    fxsave [SCRATCH]
    EXPECT_EQ byte [SCRATCH + 4], 0xFF
    EXPECT_BITS [SCRATCH + 2], 0x3800, 0
    emms
    fnstenv [SCRATCH]
    EXPECT_EQ word [SCRATCH + 8], 0xFFFF
    ; 80 bits
    fldpi
    fstp tword [SCRATCH]
    EXPECT_EQ dword [SCRATCH], 0x2168C235
    EXPECT_EQ dword [SCRATCH + 4], 0xC90FDAA2
    EXPECT_EQ word [SCRATCH + 8], 0x4000

    ; SSE: OSFXSR, alignment, MXCSR, #XM or #UD
    EXPECT_FAULT 6, 0, {movaps xmm0, xmm1}
    EXPECT_FAULT 6, 0, ldmxcsr [SCRATCH]
    mov eax, cr4
    or eax, 1 << 9
    mov cr4, eax
    movaps xmm0, xmm1
    EXPECT_FAULT 13, 0, {movaps xmm0, [SCRATCH + 8]}
    movups xmm0, [SCRATCH + 8]
    EXPECT_FAULT 13, 0, {addps xmm0, [SCRATCH + 4]}
    mov dword [SCRATCH], 0xFFFF0000
    EXPECT_FAULT 13, 0, ldmxcsr [SCRATCH]
    mov dword [SCRATCH], 0x1F80 & ~0x200 ; divide by zero unmasked
    ldmxcsr [SCRATCH]
    xorps xmm0, xmm0
    mov dword [SCRATCH + 16], 0x3F800000
    movss xmm1, [SCRATCH + 16]
    EXPECT_FAULT 6, 0, {divss xmm1, xmm0} ; without OSXMMEXCPT
    mov eax, cr4
    or eax, 1 << 10
    mov cr4, eax
    EXPECT_FAULT 19, 0, {divss xmm1, xmm0}
    movss [SCRATCH + 20], xmm1
    EXPECT_EQ dword [SCRATCH + 20], 0x3F800000 ; the destination is unchanged
    stmxcsr [SCRATCH]
    EXPECT_BITS [SCRATCH], 4, 4         ; ZE
    mov dword [SCRATCH], 0x1F80
    ldmxcsr [SCRATCH]
    divss xmm1, xmm0
    movss [SCRATCH + 20], xmm1
    EXPECT_EQ dword [SCRATCH + 20], 0x7F800000
    ; FXSAVE: alignment, layout, restore
    EXPECT_FAULT 13, 0, fxsave [SCRATCH + 8]
    fninit
    fld1
    mov dword [SCRATCH + 0x400], 0x12345678
    movss xmm7, [SCRATCH + 0x400]
    fxsave [SCRATCH]
    EXPECT_EQ word [SCRATCH], 0x37F
    EXPECT_EQ byte [SCRATCH + 4], 0x80  ; abridged tags
    EXPECT_EQ dword [SCRATCH + 36], 0x80000000
    EXPECT_EQ word [SCRATCH + 40], 0x3FFF
    EXPECT_EQ dword [SCRATCH + 160 + 7 * 16], 0x12345678
    fninit
    xorps xmm7, xmm7
    fxrstor [SCRATCH]
    movss [SCRATCH + 0x400], xmm7
    EXPECT_EQ dword [SCRATCH + 0x400], 0x12345678
    fstp dword [SCRATCH + 0x400]
    EXPECT_EQ dword [SCRATCH + 0x400], 0x3F800000
    mov dword [SCRATCH + 24], 0xFFFF0000 ; reserved MXCSR bits
    EXPECT_FAULT 13, 0, fxrstor [SCRATCH]

    ; XSAVE where it exists
    mov eax, 1
    cpuid
    test ecx, 1 << 26
    jnz .xsave
    EXPECT_FAULT 6, 0, xgetbv
    PASS
.xsave:
    xor ecx, ecx
    EXPECT_FAULT 6, 0, xgetbv           ; OSXSAVE = 0
    mov eax, cr4
    or eax, 1 << 18
    mov cr4, eax
    mov eax, 1
    cpuid
    test ecx, 1 << 27                   ; CPUID shows CR4.OSXSAVE
    EXPECT_IF nz
    xor ecx, ecx
    xgetbv
    EXPECT_EQ eax, 1
    mov ecx, 1
    EXPECT_FAULT 13, 0, xgetbv
    xor ecx, ecx
    xor edx, edx
    mov eax, 2                          ; x87 must be on
    EXPECT_FAULT 13, 0, xsetbv
    mov eax, 1 << 30
    EXPECT_FAULT 13, 0, xsetbv
    mov eax, 3
    xsetbv
    mov edi, SCRATCH
    mov ecx, 0x400 / 4
    xor eax, eax
    rep stosd
    mov dword [SCRATCH + 0x400], 0x5A5A
    movss xmm2, [SCRATCH + 0x400]
    mov eax, 3
    xor edx, edx
    EXPECT_FAULT 13, 0, xsave [SCRATCH + 16] ; 64-byte alignment
    xsave [SCRATCH]
    EXPECT_BITS [SCRATCH + 512], 2, 2
    EXPECT_EQ dword [SCRATCH + 160 + 32], 0x5A5A
    mov dword [SCRATCH + 512], 1        ; SSE in its initial state
    mov eax, 3
    xor edx, edx
    xrstor [SCRATCH]
    movss [SCRATCH + 0x404], xmm2
    EXPECT_EQ dword [SCRATCH + 0x404], 0
    mov dword [SCRATCH + 512], 1 << 5
    mov eax, 3
    xor edx, edx
    EXPECT_FAULT 13, 0, xrstor [SCRATCH]
    PASS
