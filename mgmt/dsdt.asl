// SPDX-License-Identifier: BSD-2-Clause
//
// The guest's DSDT: what of a Ballast guest's platform cannot be found by looking. Ports and
// interrupts are those of devices/platform.h and of the FADT and MADT in guest_acpi.c.
DefinitionBlock ("", "DSDT", 2, "BALAST", "BALLAST", 1)
{
	Scope (\_SB)
	{
		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A03"))
			Name (_UID, 0)
			Name (_BBN, 0)
			Name (_CRS, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
					0, 0, 0, 0, 1)
				IO (Decode16, 0xCF8, 0xCF8, 1, 8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0, 0x0CF7, 0, 0x0CF8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0x0D00, 0xFFFF, 0, 0xF300)
				// From PCI_HOLE_START to the IOAPIC, but for the configuration space.
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					NonCacheable, ReadWrite,
					0, 0xC0000000, 0xDFFFFFFF, 0, 0x20000000)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
					NonCacheable, ReadWrite,
					0, 0xE0100000, 0xFEBFFFFF, 0, 0x1EB00000)
			})

			// Pin A of each slot, and the line that it is wired to.
			Name (_PRT, Package ()
			{
				Package () { 0x0001FFFF, 0, 0, 11 },
				Package () { 0x0002FFFF, 0, 0, 10 },
				Package () { 0x0003FFFF, 0, 0, 11 },
				Package () { 0x0004FFFF, 0, 0, 10 },
				Package () { 0x0005FFFF, 0, 0, 11 },
				Package () { 0x0006FFFF, 0, 0, 10 },
				Package () { 0x0007FFFF, 0, 0, 11 },
				Package () { 0x0008FFFF, 0, 0, 10 },
				Package () { 0x0009FFFF, 0, 0, 11 },
				Package () { 0x000AFFFF, 0, 0, 10 },
				Package () { 0x000BFFFF, 0, 0, 11 },
				Package () { 0x000CFFFF, 0, 0, 10 },
				Package () { 0x000DFFFF, 0, 0, 11 },
				Package () { 0x000EFFFF, 0, 0, 10 },
				Package () { 0x000FFFFF, 0, 0, 11 },
				Package () { 0x0010FFFF, 0, 0, 10 },
				Package () { 0x0011FFFF, 0, 0, 11 },
				Package () { 0x0012FFFF, 0, 0, 10 },
				Package () { 0x0013FFFF, 0, 0, 11 },
				Package () { 0x0014FFFF, 0, 0, 10 },
				Package () { 0x0015FFFF, 0, 0, 11 },
				Package () { 0x0016FFFF, 0, 0, 10 },
				Package () { 0x0017FFFF, 0, 0, 11 },
				Package () { 0x0018FFFF, 0, 0, 10 },
				Package () { 0x0019FFFF, 0, 0, 11 },
				Package () { 0x001AFFFF, 0, 0, 10 },
				Package () { 0x001BFFFF, 0, 0, 11 },
				Package () { 0x001CFFFF, 0, 0, 10 },
				Package () { 0x001DFFFF, 0, 0, 11 },
				Package () { 0x001EFFFF, 0, 0, 10 },
				Package () { 0x001FFFFF, 0, 0, 11 }
			})

			// Where something may be plugged in later: systems look there when told to.
			Device (S01) { Name (_ADR, 0x00010000) }
			Device (S02) { Name (_ADR, 0x00020000) }
			Device (S03) { Name (_ADR, 0x00030000) }
			Device (S04) { Name (_ADR, 0x00040000) }
			Device (S05) { Name (_ADR, 0x00050000) }
			Device (S06) { Name (_ADR, 0x00060000) }
			Device (S07) { Name (_ADR, 0x00070000) }
			Device (S08) { Name (_ADR, 0x00080000) }
			Device (S09) { Name (_ADR, 0x00090000) }
			Device (S0A) { Name (_ADR, 0x000A0000) }
			Device (S0B) { Name (_ADR, 0x000B0000) }
			Device (S0C) { Name (_ADR, 0x000C0000) }
			Device (S0D) { Name (_ADR, 0x000D0000) }
			Device (S0E) { Name (_ADR, 0x000E0000) }
			Device (S0F) { Name (_ADR, 0x000F0000) }
			Device (S10) { Name (_ADR, 0x00100000) }
			Device (S11) { Name (_ADR, 0x00110000) }
			Device (S12) { Name (_ADR, 0x00120000) }
			Device (S13) { Name (_ADR, 0x00130000) }
			Device (S14) { Name (_ADR, 0x00140000) }
			Device (S15) { Name (_ADR, 0x00150000) }
			Device (S16) { Name (_ADR, 0x00160000) }
			Device (S17) { Name (_ADR, 0x00170000) }
			Device (S18) { Name (_ADR, 0x00180000) }
			Device (S19) { Name (_ADR, 0x00190000) }
			Device (S1A) { Name (_ADR, 0x001A0000) }
			Device (S1B) { Name (_ADR, 0x001B0000) }
			Device (S1C) { Name (_ADR, 0x001C0000) }
			Device (S1D) { Name (_ADR, 0x001D0000) }
			Device (S1E) { Name (_ADR, 0x001E0000) }
			Device (S1F) { Name (_ADR, 0x001F0000) }
		}

		// What no driver claims but no other device may take.
		Device (PLAT)
		{
			Name (_HID, EisaId ("PNP0C02"))
			Name (_UID, 0)
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x0092, 0x0092, 1, 1)
				IO (Decode16, 0x0600, 0x0600, 1, 12)
				IO (Decode16, 0x0620, 0x0620, 1, 2)
				IO (Decode16, 0x0CF9, 0x0CF9, 1, 1)
				Memory32Fixed (ReadWrite, 0xE0000000, 0x100000)
				Memory32Fixed (ReadWrite, 0xFEC00000, 0x1000)
				Memory32Fixed (ReadWrite, 0xFEE00000, 0x1000)
			})
		}

		Device (PIC)
		{
			Name (_HID, EisaId ("PNP0000"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x0020, 0x0020, 1, 2)
				IO (Decode16, 0x00A0, 0x00A0, 1, 2)
				IO (Decode16, 0x04D0, 0x04D0, 1, 2)
				IRQNoFlags () { 2 }
			})
		}

		Device (TIMR)
		{
			Name (_HID, EisaId ("PNP0100"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x0040, 0x0040, 1, 4)
				IRQNoFlags () { 0 }
			})
		}

		Device (SPKR)
		{
			Name (_HID, EisaId ("PNP0800"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x0061, 0x0061, 1, 1)
			})
		}

		Device (RTC)
		{
			Name (_HID, EisaId ("PNP0B00"))
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x0070, 0x0070, 1, 2)
				IRQNoFlags () { 8 }
			})
		}

		Device (COM1)
		{
			Name (_HID, EisaId ("PNP0501"))
			Name (_UID, 1)
			Name (_STA, 0x0F)
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, 0x03F8, 0x03F8, 1, 8)
				IRQNoFlags () { 4 }
			})
		}
	}

	// ACPI_GPE_PCI: something has been plugged into the bus.
	Scope (\_GPE)
	{
		Method (_E01, 0, NotSerialized)
		{
			Notify (\_SB.PCI0, 0)
		}
	}

	// Sleep type of S5 as the PM1 control register knows it: ACPI_S5_TYPE.
	Name (\_S5, Package () { 5, 5, 0, 0 })
}
