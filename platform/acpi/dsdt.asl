// The machine's differentiated system description: PCI root with its windows and interrupt routing,
// ISA devices, processors, HPET, soft-off.
// Owns: names that the host fills before the guest sees the table (acpi_tables.cpp, "patches"):
// NCPU, COMS, PMIN, PMAX. Their initial values keep them DWord constants.
// Assumes: PIIX3 at 00:01.0 with PIRQ route control at 60h-63h, PIIX4 power management at 600h.
// Source: ACPI 6.4, 6.2.13 (_PRT), 6.2.2 (_CRS), 7.4.2 (_Sx); PIIX3 datasheet 2.2.10 (PIRQRC).
DefinitionBlock ("dsdt.aml", "DSDT", 1, "RMINUS", "RMINUSPC", 0x00000001)
{
    Name (NCPU, 0x7FFFFFF1)     // processors present
    Name (COMS, 0x7FFFFFF2)     // bit n: serial port n + 1 present
    Name (PMIN, 0x7FFFFFF3)     // first byte of the 32-bit PCI memory window
    Name (PMAX, 0x7FFFFFF4)     // its last byte

    // S5: SLP_TYP 0 in the PIIX4. There is no S3 or S4.
    Name (\_S5, Package () { Zero, Zero, Zero, Zero })

    Scope (\_SB)
    {
        Method (CSTA, 1, NotSerialized)
        {
            If (LLess (Arg0, NCPU)) { Return (0x0F) }
            Return (Zero)
        }
        Device (C000) { Name (_HID, "ACPI0007") Name (_UID, 0) Method (_STA) { Return (CSTA (0)) } }
        Device (C001) { Name (_HID, "ACPI0007") Name (_UID, 1) Method (_STA) { Return (CSTA (1)) } }
        Device (C002) { Name (_HID, "ACPI0007") Name (_UID, 2) Method (_STA) { Return (CSTA (2)) } }
        Device (C003) { Name (_HID, "ACPI0007") Name (_UID, 3) Method (_STA) { Return (CSTA (3)) } }
        Device (C004) { Name (_HID, "ACPI0007") Name (_UID, 4) Method (_STA) { Return (CSTA (4)) } }
        Device (C005) { Name (_HID, "ACPI0007") Name (_UID, 5) Method (_STA) { Return (CSTA (5)) } }
        Device (C006) { Name (_HID, "ACPI0007") Name (_UID, 6) Method (_STA) { Return (CSTA (6)) } }
        Device (C007) { Name (_HID, "ACPI0007") Name (_UID, 7) Method (_STA) { Return (CSTA (7)) } }

        Device (HPET)
        {
            Name (_HID, EisaId ("PNP0103"))
            Name (_UID, Zero)
            Name (_CRS, ResourceTemplate () { Memory32Fixed (ReadOnly, 0xFED00000, 0x00000400) })
        }

        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, Zero)
            Name (_BBN, Zero)
            Name (CRES, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0, 0x0000, 0x00FF, 0, 0x0100)
                IO (Decode16, 0x0CF8, 0x0CF8, 0x01, 0x08)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0x0000, 0x0CF7, 0, 0x0CF8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0x0D00, 0xFFFF, 0, 0xF300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                    0, 0x000A0000, 0x000BFFFF, 0, 0x00020000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0, 0xC0000000, 0xFEBFFFFF, 0, 0x3EC00000)
            })
            // The last descriptor starts after 16 + 8 + 16 + 16 + 26 bytes; in it _MIN, _MAX and _LEN
            // are at 10, 14 and 22 (ACPI 6.4, 6.4.3.5.2).
            Method (_CRS, 0, Serialized)
            {
                CreateDWordField (CRES, 92, WMIN)
                CreateDWordField (CRES, 96, WMAX)
                CreateDWordField (CRES, 104, WLEN)
                Store (PMIN, WMIN)
                Store (PMAX, WMAX)
                Store (Add (Subtract (PMAX, PMIN), One), WLEN)
                Return (CRES)
            }

            // Pin p of slot s goes to PIRQ (s + p - 1) mod 4; the power-management function of slot 1
            // asserts the SCI itself.
            Name (_PRT, Package ()
            {
                Package () { 0x0000FFFF, 0, LNKD, 0 }, Package () { 0x0000FFFF, 1, LNKA, 0 },
                Package () { 0x0000FFFF, 2, LNKB, 0 }, Package () { 0x0000FFFF, 3, LNKC, 0 },
                Package () { 0x0001FFFF, 0, LNKS, 0 }, Package () { 0x0001FFFF, 1, LNKB, 0 },
                Package () { 0x0001FFFF, 2, LNKC, 0 }, Package () { 0x0001FFFF, 3, LNKD, 0 },
#define SLOT4(s0, s1, s2, s3) \
                Package () { s0, 0, LNKD, 0 }, Package () { s0, 1, LNKA, 0 }, \
                Package () { s0, 2, LNKB, 0 }, Package () { s0, 3, LNKC, 0 }, \
                Package () { s1, 0, LNKA, 0 }, Package () { s1, 1, LNKB, 0 }, \
                Package () { s1, 2, LNKC, 0 }, Package () { s1, 3, LNKD, 0 }, \
                Package () { s2, 0, LNKB, 0 }, Package () { s2, 1, LNKC, 0 }, \
                Package () { s2, 2, LNKD, 0 }, Package () { s2, 3, LNKA, 0 }, \
                Package () { s3, 0, LNKC, 0 }, Package () { s3, 1, LNKD, 0 }, \
                Package () { s3, 2, LNKA, 0 }, Package () { s3, 3, LNKB, 0 }
                Package () { 0x0002FFFF, 0, LNKB, 0 }, Package () { 0x0002FFFF, 1, LNKC, 0 },
                Package () { 0x0002FFFF, 2, LNKD, 0 }, Package () { 0x0002FFFF, 3, LNKA, 0 },
                Package () { 0x0003FFFF, 0, LNKC, 0 }, Package () { 0x0003FFFF, 1, LNKD, 0 },
                Package () { 0x0003FFFF, 2, LNKA, 0 }, Package () { 0x0003FFFF, 3, LNKB, 0 },
                SLOT4 (0x0004FFFF, 0x0005FFFF, 0x0006FFFF, 0x0007FFFF),
                SLOT4 (0x0008FFFF, 0x0009FFFF, 0x000AFFFF, 0x000BFFFF),
                SLOT4 (0x000CFFFF, 0x000DFFFF, 0x000EFFFF, 0x000FFFFF),
                SLOT4 (0x0010FFFF, 0x0011FFFF, 0x0012FFFF, 0x0013FFFF),
                SLOT4 (0x0014FFFF, 0x0015FFFF, 0x0016FFFF, 0x0017FFFF),
                SLOT4 (0x0018FFFF, 0x0019FFFF, 0x001AFFFF, 0x001BFFFF),
                SLOT4 (0x001CFFFF, 0x001DFFFF, 0x001EFFFF, 0x001FFFFF)
            })

            Device (VGA)
            {
                Name (_ADR, 0x00020000)
            }

            Device (ISA)
            {
                Name (_ADR, 0x00010000)
                OperationRegion (P40C, PCI_Config, 0x60, 0x04)

                Device (RTC)
                {
                    Name (_HID, EisaId ("PNP0B00"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0070, 0x0070, 0x01, 0x08)
                        IRQNoFlags () {8}
                    })
                }
                Device (KBD)
                {
                    Name (_HID, EisaId ("PNP0303"))
                    Name (_STA, 0x0F)
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0060, 0x0060, 0x01, 0x01)
                        IO (Decode16, 0x0064, 0x0064, 0x01, 0x01)
                        IRQNoFlags () {1}
                    })
                }
                Device (MOU)
                {
                    Name (_HID, EisaId ("PNP0F13"))
                    Name (_STA, 0x0F)
                    Name (_CRS, ResourceTemplate () { IRQNoFlags () {12} })
                }
                // The firmware configuration device, so that nobody else claims its ports.
                Device (FWCF)
                {
                    Name (_HID, "QEMU0002")
                    Name (_STA, 0x0B)
                    Name (_CRS, ResourceTemplate () { IO (Decode16, 0x0510, 0x0510, 0x01, 0x0C) })
                }
#define SERIAL(name, uid, bit, base, irq) \
                Device (name) \
                { \
                    Name (_HID, EisaId ("PNP0501")) \
                    Name (_UID, uid) \
                    Method (_STA) { If (And (COMS, bit)) { Return (0x0F) } Return (Zero) } \
                    Name (_CRS, ResourceTemplate () \
                    { \
                        IO (Decode16, base, base, 0x00, 0x08) \
                        IRQNoFlags () {irq} \
                    }) \
                }
                SERIAL (COM1, 1, 1, 0x03F8, 4)
                SERIAL (COM2, 2, 2, 0x02F8, 3)
                SERIAL (COM3, 3, 4, 0x03E8, 4)
                SERIAL (COM4, 4, 8, 0x02E8, 3)
            }
        }

        Scope (PCI0.ISA)
        {
            Field (P40C, ByteAcc, NoLock, Preserve) { PRQA, 8, PRQB, 8, PRQC, 8, PRQD, 8 }
        }

        // Bit 7 of a route register disables the link (PIIX3 2.2.10).
        Method (IQST, 1, NotSerialized)
        {
            If (And (0x80, Arg0)) { Return (0x09) }
            Return (0x0B)
        }
        Name (PRR0, ResourceTemplate ()
        {
            Interrupt (ResourceConsumer, Level, ActiveHigh, Shared, , , ) { 0 }
        })
        Method (IQCR, 1, Serialized)
        {
            CreateDWordField (PRR0, 0x05, PRRI)
            If (LLess (Arg0, 0x80)) { Store (Arg0, PRRI) }
            Return (PRR0)
        }
#define LINK(name, uid, reg) \
        Device (name) \
        { \
            Name (_HID, EisaId ("PNP0C0F")) \
            Name (_UID, uid) \
            Name (_PRS, ResourceTemplate () \
            { \
                Interrupt (ResourceConsumer, Level, ActiveHigh, Shared, , , ) { 5, 10, 11 } \
            }) \
            Method (_STA) { Return (IQST (^^PCI0.ISA.reg)) } \
            Method (_DIS) { Or (^^PCI0.ISA.reg, 0x80, ^^PCI0.ISA.reg) } \
            Method (_CRS) { Return (IQCR (^^PCI0.ISA.reg)) } \
            Method (_SRS, 1) { CreateDWordField (Arg0, 0x05, PRRI) Store (PRRI, ^^PCI0.ISA.reg) } \
        }
        LINK (LNKA, 0, PRQA)
        LINK (LNKB, 1, PRQB)
        LINK (LNKC, 2, PRQC)
        LINK (LNKD, 3, PRQD)
        // The SCI: fixed at IRQ 9.
        Device (LNKS)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 4)
            Name (_PRS, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Level, ActiveHigh, Shared, , , ) { 9 }
            })
            Method (_STA) { Return (0x0B) }
            Method (_DIS) { }
            Method (_CRS) { Return (_PRS) }
            Method (_SRS, 1) { }
        }
    }
}
