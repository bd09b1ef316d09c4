"""Writes `table_e_1_1.txt`: the Basic Profile column of PS3.15, table E.1-1 as PyPI `dicom-anonymizer` holds it
(edition 2026c), with the columns of the options, which that package leaves out, from edition 2026a.

    pip install dicom-anonymizer==2.1.0 pydicom
    python make_table.py > table_e_1_1.txt
"""

from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as e_1_1
from pydicom.datadict import dictionary_VR

BASIC = {
    "D_TAGS": "D", "Z_TAGS": "Z", "X_TAGS": "X", "U_TAGS": "U", "Z_D_TAGS": "Z/D", "X_Z_TAGS": "X/Z",
    "X_D_TAGS": "X/D", "X_Z_D_TAGS": "X/Z/D", "X_Z_U_STAR_TAGS": "X/Z/U*",
}


def tags(text):
    """`0008: 1030 103E` a line."""
    for line in text.strip().splitlines():
        group, elements = line.split(":")
        for element in elements.split():
            yield (int(group, 16), int(element, 16))


DESCRIPTORS = set(tags("""
0008: 1030 103E 1080 1084 1088 1301 1302 1303 1304 2111 4000
0010: 0016 0042 0045 2000 2110 2180 21B0 4000
0012: 0051 0072
0016: 002B 004B
0018: 0010 1030 11BB 1400 4000 9185 937B 937F 9424 9937 A003
0020: 0027 4000 9158
0032: 1030 1033 1060 1066 1067 1070 4000
0038: 0040 0062 0500 4000
003A: 0020 0203 020C 0329 032B
0040: 0007 0254 0275 0280 0310 051A 0556 0600 0602 1002 100A 1400 2001 2400 B03B B03F
0050: 0021
006A: 0005 0006
0070: 0006
0072: 0066 0068 006C 006E 0070
0400: 0565
2200: 0002
3002: 0121 0123
3006: 0002 0004 0006 0026 0028 0038 0085 0088
300A: 0002 0003 000B 000E 0016 0072 00C3 00DD 0196 01A6 01B2 02EB 0608 0619 0623 062A 0676 067C 067D 0734 0742
300A: 0783 078E 0792 0794 079A
300C: 0113
3010: 000F 0017 0033 0034 0035 0036 0037 0038 0054 0056 005A 005C 0061 0077 007A 007B 007F 0081
4008: 010B 0115 0300 4000
"""))
DEVICE_KEPT = set(tags("""
0008: 1010
0014: 407C 407E
0016: 004E 004F 0050 0051
0018: 1000 1002 1004 1005 1007 1008 1009 100A 100B 1010 1011 1200 1201 1202 1203 1204 1205 5011 700A 700C 700E
0018: 9367 9371 9373
0020: 3401
0032: 1020
0040: 0010 0011 0242 4025 4027 4028 4030
0050: 0020
0400: 0563
3008: 0105
300A: 00B2 0216
300C: 0127
3010: 002D 0043
"""))
DEVICE_CLEANED = set(tags("""
0008: 0054 0055 1000
0032: 1021
0040: 0001 0241
0072: 005E
0074: 1234 1236
2100: 0070 0140
"""))
INSTITUTION = set(tags("""
0008: 0080 0081 0082 1040 1041
0012: 0030 0031 0060 0081
0400: 0564
"""))
PATIENT_KEPT = set(tags("""
0010: 0040 0043 0046 0047 1010 1020 1030 2160 2161 2162 21A0 21C0 2203
0072: 005F
"""))
PATIENT_CLEANED = set(tags("""
0010: 0042 2110
0038: 0050 0500
0040: 0012
"""))
STRUCTURED = set(tags("0040: 0555 0610 A730 B020"))
GRAPHICS = set(tags("0070: 0001"))
# dates are kept or shifted by their VR, but for the birth; three more tell a time in another VR
BIRTH = set(tags("0010: 0030 0032"))
OTHER_TIMES = set(tags("0008: 0201\n0034: 0007\n0400: 0310"))
NEWER_TIMES = set(tags("0040: A034 A035 B034 B036"))
# UIDs are kept wherever they would be replaced, but for these; the sequences hold references
OWN_UIDS = set(tags("0040: A124\n0400: 0100"))
OTHER_REFERENCES = set(tags("0000: 1000\n0008: 1110 1111 1120 1140 2112\n006A: 0003"))


def vr(tag):
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "DT" if tag in NEWER_TIMES else "UN"


def options(tag, basic):
    if (basic == "U" and tag not in OWN_UIDS) or tag in OTHER_REFERENCES:
        yield "uids=K"
    if tag in DEVICE_KEPT:
        yield "device=K"
    if tag in DEVICE_CLEANED:
        yield "device=C"
    if tag in INSTITUTION:
        yield "institution=K"
    if tag in PATIENT_KEPT:
        yield "patient=K"
    if tag in PATIENT_CLEANED:
        yield "patient=C"
    if (vr(tag) in ("DA", "DT", "TM") and tag not in BIRTH) or tag in OTHER_TIMES:
        yield "dates"
    if tag in DESCRIPTORS:
        yield "descriptors"
    if tag in STRUCTURED:
        yield "structured"
    if tag in GRAPHICS:
        yield "graphics"


def main():
    rows = {}
    for name, basic in BASIC.items():
        for tag in getattr(e_1_1, name):
            if len(tag) == 2:
                rows[tuple(tag)] = basic
    print("# PS3.15 (2026c), table E.1-1: tag, action of the Basic Profile, actions of the options (2026a).")
    print("# Not here, but in the code: (50xx,xxxx), (60xx,3000), (60xx,4000) and private attributes.")
    print("# Written by make_table.py.")
    for tag in sorted(rows):
        print(" ".join(["%04X%04X" % tag, rows[tag], *options(tag, rows[tag])]))
    missing = (DESCRIPTORS | DEVICE_KEPT | DEVICE_CLEANED | INSTITUTION | PATIENT_KEPT | PATIENT_CLEANED
               | STRUCTURED | GRAPHICS | OTHER_TIMES | OTHER_REFERENCES) - set(rows)
    assert not missing, missing


main()
