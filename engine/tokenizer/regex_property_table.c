/* Made by tests/golden/make_regex_properties.py; what the table is for: regex_properties.h. */
#include "engine/tokenizer/regex_properties.h"

#include "config/base/check.h"

const struct regex_set regex_sets[] = {
    {" c other ", "\\P{c}",
     "897 cf3 ece 1b4e-1b4f 1b7f 1c89-1c8a 2427-2429 2ffc-2fff 31e4-31e5 31ef a7cb-a7cd a7da-a7dc "
     "105c0-105f3 10d40-10d65 10d69-10d85 10d8e-10d8f 10ec2-10ec4 10efc-10eff 1123f-11241 "
     "11380-11389 1138b 1138e 11390-113b5 113b7-113c0 113c2 113c5 113c7-113ca 113cc-113d5 "
     "113d7-113d8 113e1-113e2 116d0-116e3 11b00-11b09 11bc0-11be1 11bf0-11bf9 11f00-11f10 "
     "11f12-11f3a 11f3e-11f5a 1342f 13440-13455 13460-143fa 16100-16139 16d40-16d79 18cff 1b132 "
     "1b155 1cc00-1ccf9 1cd00-1ceb3 1d2c0-1d2d3 1df25-1df2a 1e030-1e06d 1e08f 1e4d0-1e4f9 "
     "1e5d0-1e5fa 1e5ff 1f6dc 1f774-1f776 1f77b-1f77f 1f7d9 1f8b2-1f8bb 1f8c0-1f8c1 1fa75-1fa77 "
     "1fa87-1fa89 1fa8f 1faad-1faaf 1fabb-1fabf 1fac6 1face-1facf 1fada-1fadc 1fadf 1fae8-1fae9 "
     "1faf7-1faf8 1fbcb-1fbef 2b739 2ebf0-2ee5d 31350-323af",
     true, false},
    {" cc control cntrl :cntrl ", "\\p{cc}", "", false, false},
    {" cf format ", "\\p{cf}", "13439-1343f", false, false},
    {" cn unassigned ", "\\P{cn}",
     "897 cf3 ece 1b4e-1b4f 1b7f 1c89-1c8a 2427-2429 2ffc-2fff 31e4-31e5 31ef a7cb-a7cd a7da-a7dc "
     "105c0-105f3 10d40-10d65 10d69-10d85 10d8e-10d8f 10ec2-10ec4 10efc-10eff 1123f-11241 "
     "11380-11389 1138b 1138e 11390-113b5 113b7-113c0 113c2 113c5 113c7-113ca 113cc-113d5 "
     "113d7-113d8 113e1-113e2 116d0-116e3 11b00-11b09 11bc0-11be1 11bf0-11bf9 11f00-11f10 "
     "11f12-11f3a 11f3e-11f5a 1342f 13439-13455 13460-143fa 16100-16139 16d40-16d79 18cff 1b132 "
     "1b155 1cc00-1ccf9 1cd00-1ceb3 1d2c0-1d2d3 1df25-1df2a 1e030-1e06d 1e08f 1e4d0-1e4f9 "
     "1e5d0-1e5fa 1e5ff 1f6dc 1f774-1f776 1f77b-1f77f 1f7d9 1f8b2-1f8bb 1f8c0-1f8c1 1fa75-1fa77 "
     "1fa87-1fa89 1fa8f 1faad-1faaf 1fabb-1fabf 1fac6 1face-1facf 1fada-1fadc 1fadf 1fae8-1fae9 "
     "1faf7-1faf8 1fbcb-1fbef 2b739 2ebf0-2ee5d 31350-323af",
     true, false},
    {" co privateuse ", "\\p{co}", "", false, false},
    {" cs surrogate ", "\\p{cs}", "", false, false},
    {" l letter ", "\\p{l}",
     "1c89-1c8a a7cb-a7cd a7da-a7dc 105c0-105f3 10d4a-10d65 10d6f-10d85 10ec2-10ec4 1123f-11240 "
     "11380-11389 1138b 1138e 11390-113b5 113b7 113d1 113d3 11bc0-11be0 11f02 11f04-11f10 "
     "11f12-11f33 1342f 13441-13446 13460-143fa 16100-1611d 16d40-16d6c 18cff 1b132 1b155 "
     "1df25-1df2a 1e030-1e06d 1e4d0-1e4eb 1e5d0-1e5ed 1e5f0 2b739 2ebf0-2ee5d 31350-323af",
     false, true},
    {" lc casedletter ", "\\p{L&}",
     "1c89-1c8a a7cb-a7cd a7da-a7dc 10d50-10d65 10d70-10d85 1df25-1df2a", false, true},
    {" ll lowercaseletter ", "\\p{ll}", "1c8a a7cd a7db 10d70-10d85 1df25-1df2a", false, true},
    {" lm modifierletter ", "\\p{lm}", "10d4e 10d6f 16d40-16d42 16d6b-16d6c 1e030-1e06d 1e4eb",
     false, false},
    {" lo otherletter ", "\\p{lo}",
     "105c0-105f3 10d4a-10d4d 10d4f 10ec2-10ec4 1123f-11240 11380-11389 1138b 1138e 11390-113b5 "
     "113b7 113d1 113d3 11bc0-11be0 11f02 11f04-11f10 11f12-11f33 1342f 13441-13446 13460-143fa "
     "16100-1611d 16d43-16d6a 18cff 1b132 1b155 1e4d0-1e4ea 1e5d0-1e5ed 1e5f0 2b739 2ebf0-2ee5d "
     "31350-323af",
     false, false},
    {" lt titlecaseletter ", "\\p{lt}", "", false, true},
    {" lu uppercaseletter ", "\\p{lu}", "1c89 a7cb-a7cc a7da a7dc 10d50-10d65", false, true},
    {" m mark combiningmark ", "\\p{m}",
     "897 cf3 ece 10d69-10d6d 10efc-10eff 11241 113b8-113c0 113c2 113c5 113c7-113ca 113cc-113d0 "
     "113d2 113e1-113e2 11f00-11f01 11f03 11f34-11f3a 11f3e-11f42 11f5a 13440 13447-13455 "
     "1611e-1612f 1e08f 1e4ec-1e4ef 1e5ee-1e5ef",
     false, true},
    {" mc spacingmark ", "\\p{mc}",
     "cf3 113b8-113ba 113c2 113c5 113c7-113ca 113cc-113cd 113cf 1171e 11f03 11f34-11f35 "
     "11f3e-11f3f 11f41 1612a-1612c",
     false, false},
    {" me enclosingmark ", "\\p{me}", "", false, false},
    {" mn nonspacingmark ", "",
     "300-36f 483-487 591-5bd 5bf 5c1-5c2 5c4-5c5 5c7 610-61a 64b-65f 670 6d6-6dc 6df-6e4 6e7-6e8 "
     "6ea-6ed 711 730-74a 7a6-7b0 7eb-7f3 7fd 816-819 81b-823 825-827 829-82d 859-85b 897-89f "
     "8ca-8e1 8e3-902 93a 93c 941-948 94d 951-957 962-963 981 9bc 9c1-9c4 9cd 9e2-9e3 9fe a01-a02 "
     "a3c a41-a42 a47-a48 a4b-a4d a51 a70-a71 a75 a81-a82 abc ac1-ac5 ac7-ac8 acd ae2-ae3 afa-aff "
     "b01 b3c b3f b41-b44 b4d b55-b56 b62-b63 b82 bc0 bcd c00 c04 c3c c3e-c40 c46-c48 c4a-c4d "
     "c55-c56 c62-c63 c81 cbc cbf cc6 ccc-ccd ce2-ce3 d00-d01 d3b-d3c d41-d44 d4d d62-d63 d81 dca "
     "dd2-dd4 dd6 e31 e34-e3a e47-e4e eb1 eb4-ebc ec8-ece f18-f19 f35 f37 f39 f71-f7e f80-f84 "
     "f86-f87 f8d-f97 f99-fbc fc6 102d-1030 1032-1037 1039-103a 103d-103e 1058-1059 105e-1060 "
     "1071-1074 1082 1085-1086 108d 109d 135d-135f 1712-1714 1732-1733 1752-1753 1772-1773 "
     "17b4-17b5 17b7-17bd 17c6 17c9-17d3 17dd 180b-180d 180f 1885-1886 18a9 1920-1922 1927-1928 "
     "1932 1939-193b 1a17-1a18 1a1b 1a56 1a58-1a5e 1a60 1a62 1a65-1a6c 1a73-1a7c 1a7f 1ab0-1abd "
     "1abf-1ace 1b00-1b03 1b34 1b36-1b3a 1b3c 1b42 1b6b-1b73 1b80-1b81 1ba2-1ba5 1ba8-1ba9 "
     "1bab-1bad 1be6 1be8-1be9 1bed 1bef-1bf1 1c2c-1c33 1c36-1c37 1cd0-1cd2 1cd4-1ce0 1ce2-1ce8 "
     "1ced 1cf4 1cf8-1cf9 1dc0-1dff 20d0-20dc 20e1 20e5-20f0 2cef-2cf1 2d7f 2de0-2dff 302a-302d "
     "3099-309a a66f a674-a67d a69e-a69f a6f0-a6f1 a802 a806 a80b a825-a826 a82c a8c4-a8c5 "
     "a8e0-a8f1 a8ff a926-a92d a947-a951 a980-a982 a9b3 a9b6-a9b9 a9bc-a9bd a9e5 aa29-aa2e "
     "aa31-aa32 aa35-aa36 aa43 aa4c aa7c aab0 aab2-aab4 aab7-aab8 aabe-aabf aac1 aaec-aaed aaf6 "
     "abe5 abe8 abed fb1e fe00-fe0f fe20-fe2f 101fd 102e0 10376-1037a 10a01-10a03 10a05-10a06 "
     "10a0c-10a0f 10a38-10a3a 10a3f 10ae5-10ae6 10d24-10d27 10d69-10d6d 10eab-10eac 10efc-10eff "
     "10f46-10f50 10f82-10f85 11001 11038-11046 11070 11073-11074 1107f-11081 110b3-110b6 "
     "110b9-110ba 110c2 11100-11102 11127-1112b 1112d-11134 11173 11180-11181 111b6-111be "
     "111c9-111cc 111cf 1122f-11231 11234 11236-11237 1123e 11241 112df 112e3-112ea 11300-11301 "
     "1133b-1133c 11340 11366-1136c 11370-11374 113bb-113c0 113ce 113d0 113d2 113e1-113e2 "
     "11438-1143f 11442-11444 11446 1145e 114b3-114b8 114ba 114bf-114c0 114c2-114c3 115b2-115b5 "
     "115bc-115bd 115bf-115c0 115dc-115dd 11633-1163a 1163d 1163f-11640 116ab 116ad 116b0-116b5 "
     "116b7 1171d 1171f 11722-11725 11727-1172b 1182f-11837 11839-1183a 1193b-1193c 1193e 11943 "
     "119d4-119d7 119da-119db 119e0 11a01-11a0a 11a33-11a38 11a3b-11a3e 11a47 11a51-11a56 "
     "11a59-11a5b 11a8a-11a96 11a98-11a99 11c30-11c36 11c38-11c3d 11c3f 11c92-11ca7 11caa-11cb0 "
     "11cb2-11cb3 11cb5-11cb6 11d31-11d36 11d3a 11d3c-11d3d 11d3f-11d45 11d47 11d90-11d91 11d95 "
     "11d97 11ef3-11ef4 11f00-11f01 11f36-11f3a 11f40 11f42 11f5a 13440 13447-13455 1611e-16129 "
     "1612d-1612f 16af0-16af4 16b30-16b36 16f4f 16f8f-16f92 16fe4 1bc9d-1bc9e 1cf00-1cf2d "
     "1cf30-1cf46 1d167-1d169 1d17b-1d182 1d185-1d18b 1d1aa-1d1ad 1d242-1d244 1da00-1da36 "
     "1da3b-1da6c 1da75 1da84 1da9b-1da9f 1daa1-1daaf 1e000-1e006 1e008-1e018 1e01b-1e021 "
     "1e023-1e024 1e026-1e02a 1e08f 1e130-1e136 1e2ae 1e2ec-1e2ef 1e4ec-1e4ef 1e5ee-1e5ef "
     "1e8d0-1e8d6 1e944-1e94a e0100-e01ef",
     false, true},
    {" n number ", "\\p{n}",
     "10d40-10d49 116d0-116e3 11bf0-11bf9 11f50-11f59 16130-16139 16d70-16d79 1ccf0-1ccf9 "
     "1d2c0-1d2d3 1e4f0-1e4f9 1e5f1-1e5fa",
     false, false},
    {" nd decimalnumber digit :digit ", "\\p{nd}",
     "10d40-10d49 116d0-116e3 11bf0-11bf9 11f50-11f59 16130-16139 16d70-16d79 1ccf0-1ccf9 "
     "1e4f0-1e4f9 1e5f1-1e5fa",
     false, false},
    {" nl letternumber ", "\\p{nl}", "", false, false},
    {" no othernumber ", "\\p{no}", "1d2c0-1d2d3", false, false},
    {" p punctuation punct ", "\\p{p}",
     "1b4e-1b4f 1b7f 10d6e 113d4-113d5 113d7-113d8 11b00-11b09 11be1 11f43-11f4f 16d6d-16d6f 1e5ff",
     false, false},
    {" pc connectorpunctuation ", "\\p{pc}", "", false, false},
    {" pd dashpunctuation ", "\\p{pd}", "10d6e", false, false},
    {" pe closepunctuation ", "\\p{pe}", "", false, false},
    {" pf finalpunctuation ", "\\p{pf}", "", false, false},
    {" pi initialpunctuation ", "\\p{pi}", "", false, false},
    {" po otherpunctuation ", "\\p{po}",
     "1b4e-1b4f 1b7f 113d4-113d5 113d7-113d8 11b00-11b09 11be1 11f43-11f4f 16d6d-16d6f 1e5ff",
     false, false},
    {" ps openpunctuation ", "\\p{ps}", "", false, false},
    {" s symbol ", "\\p{s}",
     "2427-2429 2ffc-2fff 31e4-31e5 31ef 10d8e-10d8f 1cc00-1ccef 1cd00-1ceb3 1f6dc 1f774-1f776 "
     "1f77b-1f77f 1f7d9 1f8b2-1f8bb 1f8c0-1f8c1 1fa75-1fa77 1fa87-1fa89 1fa8f 1faad-1faaf "
     "1fabb-1fabf 1fac6 1face-1facf 1fada-1fadc 1fadf 1fae8-1fae9 1faf7-1faf8 1fbcb-1fbef",
     false, false},
    {" sc currencysymbol ", "\\p{sc}", "", false, false},
    {" sk modifiersymbol ", "\\p{sk}", "", false, false},
    {" sm mathsymbol ", "\\p{sm}", "10d8e-10d8f", false, false},
    {" so othersymbol ", "\\p{so}",
     "2427-2429 2ffc-2fff 31e4-31e5 31ef 1cc00-1ccef 1cd00-1ceb3 1f6dc 1f774-1f776 1f77b-1f77f "
     "1f7d9 1f8b2-1f8bb 1f8c0-1f8c1 1fa75-1fa77 1fa87-1fa89 1fa8f 1faad-1faaf 1fabb-1fabf 1fac6 "
     "1face-1facf 1fada-1fadc 1fadf 1fae8-1fae9 1faf7-1faf8 1fbcb-1fbef",
     false, false},
    {" z separator ", "\\p{z}", "", false, false},
    {" zl lineseparator ", "", "2028", false, false},
    {" zp paragraphseparator ", "", "2029", false, false},
    {" zs spaceseparator ", "\\p{zs}", "", false, false},
    {" any ", "\\p{any}", "", false, false},
    {" assigned ", "\\P{Cn}",
     "897 cf3 ece 1b4e-1b4f 1b7f 1c89-1c8a 2427-2429 2ffc-2fff 31e4-31e5 31ef a7cb-a7cd a7da-a7dc "
     "105c0-105f3 10d40-10d65 10d69-10d85 10d8e-10d8f 10ec2-10ec4 10efc-10eff 1123f-11241 "
     "11380-11389 1138b 1138e 11390-113b5 113b7-113c0 113c2 113c5 113c7-113ca 113cc-113d5 "
     "113d7-113d8 113e1-113e2 116d0-116e3 11b00-11b09 11bc0-11be1 11bf0-11bf9 11f00-11f10 "
     "11f12-11f3a 11f3e-11f5a 1342f 13439-13455 13460-143fa 16100-16139 16d40-16d79 18cff 1b132 "
     "1b155 1cc00-1ccf9 1cd00-1ceb3 1d2c0-1d2d3 1df25-1df2a 1e030-1e06d 1e08f 1e4d0-1e4f9 "
     "1e5d0-1e5fa 1e5ff 1f6dc 1f774-1f776 1f77b-1f77f 1f7d9 1f8b2-1f8bb 1f8c0-1f8c1 1fa75-1fa77 "
     "1fa87-1fa89 1fa8f 1faad-1faaf 1fabb-1fabf 1fac6 1face-1facf 1fada-1fadc 1fadf 1fae8-1fae9 "
     "1faf7-1faf8 1fbcb-1fbef 2b739 2ebf0-2ee5d 31350-323af",
     false, false},
    {" ascii :ascii ", "", "0-7f", false, true},
    {" alnum :alnum ", "\\p{Alphabetic}\\p{Nd}",
     "363-36f 897 c04 cf3 f82-f83 1c89-1c8a 1dd3-1de6 a7cb-a7cd a7da-a7dc 105c0-105f3 10d40-10d65 "
     "10d69 10d6f-10d85 10ec2-10ec4 10efc 11080-11081 1123f-11241 11380-11389 1138b 1138e "
     "11390-113b5 113b7-113c0 113c2 113c5 113c7-113ca 113cc-113cd 113d1 113d3 116d0-116e3 "
     "11bc0-11be0 11bf0-11bf9 11f00-11f10 11f12-11f3a 11f3e-11f40 11f50-11f59 1342f 13441-13446 "
     "13460-143fa 16100-1612e 16130-16139 16d40-16d6c 16d70-16d79 18cff 1b132 1b155 1ccf0-1ccf9 "
     "1df25-1df2a 1e030-1e06d 1e08f 1e4d0-1e4eb 1e4f0-1e4f9 1e5d0-1e5ed 1e5f0-1e5fa 2b739 "
     "2ebf0-2ee5d 31350-323af",
     false, false},
    {" alpha alphabetic :alpha ", "\\p{alpha}",
     "363-36f 897 c04 cf3 f82-f83 1c89-1c8a 1dd3-1de6 a7cb-a7cd a7da-a7dc 105c0-105f3 10d4a-10d65 "
     "10d69 10d6f-10d85 10ec2-10ec4 10efc 11080-11081 1123f-11241 11380-11389 1138b 1138e "
     "11390-113b5 113b7-113c0 113c2 113c5 113c7-113ca 113cc-113cd 113d1 113d3 11bc0-11be0 "
     "11f00-11f10 11f12-11f3a 11f3e-11f40 1342f 13441-13446 13460-143fa 16100-1612e 16d40-16d6c "
     "18cff 1b132 1b155 1df25-1df2a 1e030-1e06d 1e08f 1e4d0-1e4eb 1e5d0-1e5ed 1e5f0 2b739 "
     "2ebf0-2ee5d 31350-323af",
     false, false},
    {" blank :blank ", "\\p{Zs}\\x{9}", "", false, false},
    {" graph :graph ", "\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}\\p{Cf}\\p{Co}",
     "897 cf3 ece 1b4e-1b4f 1b7f 1c89-1c8a 2427-2429 2ffc-2fff 31e4-31e5 31ef a7cb-a7cd a7da-a7dc "
     "105c0-105f3 10d40-10d65 10d69-10d85 10d8e-10d8f 10ec2-10ec4 10efc-10eff 1123f-11241 "
     "11380-11389 1138b 1138e 11390-113b5 113b7-113c0 113c2 113c5 113c7-113ca 113cc-113d5 "
     "113d7-113d8 113e1-113e2 116d0-116e3 11b00-11b09 11bc0-11be1 11bf0-11bf9 11f00-11f10 "
     "11f12-11f3a 11f3e-11f5a 1342f 13439-13455 13460-143fa 16100-16139 16d40-16d79 18cff 1b132 "
     "1b155 1cc00-1ccf9 1cd00-1ceb3 1d2c0-1d2d3 1df25-1df2a 1e030-1e06d 1e08f 1e4d0-1e4f9 "
     "1e5d0-1e5fa 1e5ff 1f6dc 1f774-1f776 1f77b-1f77f 1f7d9 1f8b2-1f8bb 1f8c0-1f8c1 1fa75-1fa77 "
     "1fa87-1fa89 1fa8f 1faad-1faaf 1fabb-1fabf 1fac6 1face-1facf 1fada-1fadc 1fadf 1fae8-1fae9 "
     "1faf7-1faf8 1fbcb-1fbef 2b739 2ebf0-2ee5d 31350-323af",
     false, false},
    {" lower lowercase :lower ", "\\p{lower}",
     "10fc 1c8a a7cd a7db a7f2-a7f4 ab69 10d70-10d85 1df25-1df2a 1e030-1e06d", false, true},
    {" print :print ", "\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}\\p{Cf}\\p{Co}\\p{Zs}",
     "897 cf3 ece 1b4e-1b4f 1b7f 1c89-1c8a 2427-2429 2ffc-2fff 31e4-31e5 31ef a7cb-a7cd a7da-a7dc "
     "105c0-105f3 10d40-10d65 10d69-10d85 10d8e-10d8f 10ec2-10ec4 10efc-10eff 1123f-11241 "
     "11380-11389 1138b 1138e 11390-113b5 113b7-113c0 113c2 113c5 113c7-113ca 113cc-113d5 "
     "113d7-113d8 113e1-113e2 116d0-116e3 11b00-11b09 11bc0-11be1 11bf0-11bf9 11f00-11f10 "
     "11f12-11f3a 11f3e-11f5a 1342f 13439-13455 13460-143fa 16100-16139 16d40-16d79 18cff 1b132 "
     "1b155 1cc00-1ccf9 1cd00-1ceb3 1d2c0-1d2d3 1df25-1df2a 1e030-1e06d 1e08f 1e4d0-1e4f9 "
     "1e5d0-1e5fa 1e5ff 1f6dc 1f774-1f776 1f77b-1f77f 1f7d9 1f8b2-1f8bb 1f8c0-1f8c1 1fa75-1fa77 "
     "1fa87-1fa89 1fa8f 1faad-1faaf 1fabb-1fabf 1fac6 1face-1facf 1fada-1fadc 1fadf 1fae8-1fae9 "
     "1faf7-1faf8 1fbcb-1fbef 2b739 2ebf0-2ee5d 31350-323af",
     false, false},
    {" posixpunct :punct ", "\\p{P}\\p{S}",
     "1b4e-1b4f 1b7f 2427-2429 2ffc-2fff 31e4-31e5 31ef 10d6e 10d8e-10d8f 113d4-113d5 113d7-113d8 "
     "11b00-11b09 11be1 11f43-11f4f 16d6d-16d6f 1cc00-1ccef 1cd00-1ceb3 1e5ff 1f6dc 1f774-1f776 "
     "1f77b-1f77f 1f7d9 1f8b2-1f8bb 1f8c0-1f8c1 1fa75-1fa77 1fa87-1fa89 1fa8f 1faad-1faaf "
     "1fabb-1fabf 1fac6 1face-1facf 1fada-1fadc 1fadf 1fae8-1fae9 1faf7-1faf8 1fbcb-1fbef",
     false, false},
    {" space whitespace wspace :space ", "\\p{space}", "", false, false},
    {" upper uppercase :upper ", "\\p{upper}", "1c89 a7cb-a7cc a7da a7dc 10d50-10d65", false, true},
    {" word ", "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}",
     "b2-b3 b9 bc-be 897 cf3 ece 1c89-1c8a a7cb-a7cd a7da-a7dc 105c0-105f3 10d40-10d65 10d69-10d6d "
     "10d6f-10d85 10ec2-10ec4 10efc-10eff 1123f-11241 11380-11389 1138b 1138e 11390-113b5 "
     "113b7-113c0 113c2 113c5 113c7-113ca 113cc-113d3 113e1-113e2 116d0-116e3 11bc0-11be0 "
     "11bf0-11bf9 11f00-11f10 11f12-11f3a 11f3e-11f42 11f50-11f5a 1342f 13440-13455 13460-143fa "
     "16100-16139 16d40-16d6c 16d70-16d79 18cff 1b132 1b155 1ccf0-1ccf9 1df25-1df2a 1e030-1e06d "
     "1e08f 1e4d0-1e4f9 1e5d0-1e5fa 2b739 2ebf0-2ee5d 31350-323af",
     false, false},
    {" xdigit ahex asciihexdigit :xdigit ", "0-9A-Fa-f", "", false, false},
    {" bidic bidicontrol ", "\\p{bidic}", "", false, false},
    {" cased ", "\\p{cased}",
     "10fc 1c89-1c8a a7cb-a7cd a7da-a7dc a7f2-a7f4 ab69 10d50-10d65 10d70-10d85 1df25-1df2a "
     "1e030-1e06d",
     false, false},
    {" caseignorable ci ", "",
     "27 2e 3a 5e 60 a8 ad af b4 b7-b8 2b0-36f 374-375 37a 384-385 387 483-489 559 55f 591-5bd 5bf "
     "5c1-5c2 5c4-5c5 5c7 5f4 600-605 610-61a 61c 640 64b-65f 670 6d6-6dd 6df-6e8 6ea-6ed 70f 711 "
     "730-74a 7a6-7b0 7eb-7f5 7fa 7fd 816-82d 859-85b 888 890-891 897-89f 8c9-902 93a 93c 941-948 "
     "94d 951-957 962-963 971 981 9bc 9c1-9c4 9cd 9e2-9e3 9fe a01-a02 a3c a41-a42 a47-a48 a4b-a4d "
     "a51 a70-a71 a75 a81-a82 abc ac1-ac5 ac7-ac8 acd ae2-ae3 afa-aff b01 b3c b3f b41-b44 b4d "
     "b55-b56 b62-b63 b82 bc0 bcd c00 c04 c3c c3e-c40 c46-c48 c4a-c4d c55-c56 c62-c63 c81 cbc cbf "
     "cc6 ccc-ccd ce2-ce3 d00-d01 d3b-d3c d41-d44 d4d d62-d63 d81 dca dd2-dd4 dd6 e31 e34-e3a "
     "e46-e4e eb1 eb4-ebc ec6 ec8-ece f18-f19 f35 f37 f39 f71-f7e f80-f84 f86-f87 f8d-f97 f99-fbc "
     "fc6 102d-1030 1032-1037 1039-103a 103d-103e 1058-1059 105e-1060 1071-1074 1082 1085-1086 "
     "108d 109d 10fc 135d-135f 1712-1714 1732-1733 1752-1753 1772-1773 17b4-17b5 17b7-17bd 17c6 "
     "17c9-17d3 17d7 17dd 180b-180f 1843 1885-1886 18a9 1920-1922 1927-1928 1932 1939-193b "
     "1a17-1a18 1a1b 1a56 1a58-1a5e 1a60 1a62 1a65-1a6c 1a73-1a7c 1a7f 1aa7 1ab0-1ace 1b00-1b03 "
     "1b34 1b36-1b3a 1b3c 1b42 1b6b-1b73 1b80-1b81 1ba2-1ba5 1ba8-1ba9 1bab-1bad 1be6 1be8-1be9 "
     "1bed 1bef-1bf1 1c2c-1c33 1c36-1c37 1c78-1c7d 1cd0-1cd2 1cd4-1ce0 1ce2-1ce8 1ced 1cf4 "
     "1cf8-1cf9 1d2c-1d6a 1d78 1d9b-1dff 1fbd 1fbf-1fc1 1fcd-1fcf 1fdd-1fdf 1fed-1fef 1ffd-1ffe "
     "200b-200f 2018-2019 2024 2027 202a-202e 2060-2064 2066-206f 2071 207f 2090-209c 20d0-20f0 "
     "2c7c-2c7d 2cef-2cf1 2d6f 2d7f 2de0-2dff 2e2f 3005 302a-302d 3031-3035 303b 3099-309e "
     "30fc-30fe a015 a4f8-a4fd a60c a66f-a672 a674-a67d a67f a69c-a69f a6f0-a6f1 a700-a721 a770 "
     "a788-a78a a7f2-a7f4 a7f8-a7f9 a802 a806 a80b a825-a826 a82c a8c4-a8c5 a8e0-a8f1 a8ff "
     "a926-a92d a947-a951 a980-a982 a9b3 a9b6-a9b9 a9bc-a9bd a9cf a9e5-a9e6 aa29-aa2e aa31-aa32 "
     "aa35-aa36 aa43 aa4c aa70 aa7c aab0 aab2-aab4 aab7-aab8 aabe-aabf aac1 aadd aaec-aaed "
     "aaf3-aaf4 aaf6 ab5b-ab5f ab69-ab6b abe5 abe8 abed fb1e fbb2-fbc2 fe00-fe0f fe13 fe20-fe2f "
     "fe52 fe55 feff ff07 ff0e ff1a ff3e ff40 ff70 ff9e-ff9f ffe3 fff9-fffb 101fd 102e0 "
     "10376-1037a 10780-10785 10787-107b0 107b2-107ba 10a01-10a03 10a05-10a06 10a0c-10a0f "
     "10a38-10a3a 10a3f 10ae5-10ae6 10d24-10d27 10d4e 10d69-10d6d 10d6f 10eab-10eac 10efc-10eff "
     "10f46-10f50 10f82-10f85 11001 11038-11046 11070 11073-11074 1107f-11081 110b3-110b6 "
     "110b9-110ba 110bd 110c2 110cd 11100-11102 11127-1112b 1112d-11134 11173 11180-11181 "
     "111b6-111be 111c9-111cc 111cf 1122f-11231 11234 11236-11237 1123e 11241 112df 112e3-112ea "
     "11300-11301 1133b-1133c 11340 11366-1136c 11370-11374 113bb-113c0 113ce 113d0 113d2 "
     "113e1-113e2 11438-1143f 11442-11444 11446 1145e 114b3-114b8 114ba 114bf-114c0 114c2-114c3 "
     "115b2-115b5 115bc-115bd 115bf-115c0 115dc-115dd 11633-1163a 1163d 1163f-11640 116ab 116ad "
     "116b0-116b5 116b7 1171d 1171f 11722-11725 11727-1172b 1182f-11837 11839-1183a 1193b-1193c "
     "1193e 11943 119d4-119d7 119da-119db 119e0 11a01-11a0a 11a33-11a38 11a3b-11a3e 11a47 "
     "11a51-11a56 11a59-11a5b 11a8a-11a96 11a98-11a99 11c30-11c36 11c38-11c3d 11c3f 11c92-11ca7 "
     "11caa-11cb0 11cb2-11cb3 11cb5-11cb6 11d31-11d36 11d3a 11d3c-11d3d 11d3f-11d45 11d47 "
     "11d90-11d91 11d95 11d97 11ef3-11ef4 11f00-11f01 11f36-11f3a 11f40 11f42 11f5a 13430-13440 "
     "13447-13455 1611e-16129 1612d-1612f 16af0-16af4 16b30-16b36 16b40-16b43 16d40-16d42 "
     "16d6b-16d6c 16f4f 16f8f-16f9f 16fe0-16fe1 16fe3-16fe4 1aff0-1aff3 1aff5-1affb 1affd-1affe "
     "1bc9d-1bc9e 1bca0-1bca3 1cf00-1cf2d 1cf30-1cf46 1d167-1d169 1d173-1d182 1d185-1d18b "
     "1d1aa-1d1ad 1d242-1d244 1da00-1da36 1da3b-1da6c 1da75 1da84 1da9b-1da9f 1daa1-1daaf "
     "1e000-1e006 1e008-1e018 1e01b-1e021 1e023-1e024 1e026-1e02a 1e030-1e06d 1e08f 1e130-1e13d "
     "1e2ae 1e2ec-1e2ef 1e4eb-1e4ef 1e5ee-1e5ef 1e8d0-1e8d6 1e944-1e94b 1f3fb-1f3ff e0001 "
     "e0020-e007f e0100-e01ef",
     false, true},
    {" changeswhencasefolded cwcf ", "\\p{changeswhencasefolded}",
     "1c89 a7cb-a7cc a7da a7dc 10d50-10d65", false, true},
    {" changeswhencasemapped cwcm ", "\\p{changeswhencasemapped}",
     "19b 264 1c89-1c8a a7cb-a7cd a7da-a7dc 10d50-10d65 10d70-10d85", false, false},
    {" changeswhenlowercased cwl ", "\\p{changeswhenlowercased}",
     "1c89 a7cb-a7cc a7da a7dc 10d50-10d65", false, true},
    {" changeswhentitlecased cwt ", "\\p{changeswhentitlecased}",
     "19b 264 1c8a a7cd a7db 10d70-10d85", false, true},
    {" changeswhenuppercased cwu ", "\\p{changeswhenuppercased}",
     "19b 264 1c8a a7cd a7db 10d70-10d85", false, true},
    {" dash ", "\\p{dash}", "10d6e", false, false},
    {" defaultignorablecodepoint di ", "\\p{defaultignorablecodepoint}", "", false, false},
    {" dep deprecated ", "\\p{dep}", "", false, false},
    {" dia diacritic ", "\\p{dia}",
     "e3a 1734 1a60 1be6 1bf2-1bf3 a806 a82c 10a38-10a3a 10a3f 10d4e 10d69-10d6d 10efd-10eff 1133b "
     "113ce-113d0 113d2-113d3 113e1-113e2 11f41-11f42 11f5a 13447-13455 1612f 16d6b-16d6c "
     "1e030-1e06d 1e5ee-1e5ef",
     false, true},
    {" ebase emojimodifierbase ", "\\p{ebase}", "1faf7-1faf8", false, false},
    {" ecomp emojicomponent ", "\\p{ecomp}", "", false, false},
    {" emod emojimodifier ", "\\p{emod}", "", false, false},
    {" emoji ", "\\p{emoji}",
     "1f6dc 1fa75-1fa77 1fa87-1fa89 1fa8f 1faad-1faaf 1fabb-1fabf 1fac6 1face-1facf 1fada-1fadc "
     "1fadf 1fae8-1fae9 1faf7-1faf8",
     false, true},
    {" emojipresentation epres ", "\\p{emojipresentation}",
     "1f6dc 1fa75-1fa77 1fa87-1fa89 1fa8f 1faad-1faaf 1fabb-1fabf 1fac6 1face-1facf 1fada-1fadc "
     "1fadf 1fae8-1fae9 1faf7-1faf8",
     false, false},
    {" ext extender ", "\\p{ext}", "a71 afb 10d4e 10d6a 10d6f 11237 113d2-113d3 1e5ef", false,
     false},
    {" extendedpictographic extpict ", "\\p{extendedpictographic}", "", false, true},
    {" graphemeextend grext ", "",
     "300-36f 483-489 591-5bd 5bf 5c1-5c2 5c4-5c5 5c7 610-61a 64b-65f 670 6d6-6dc 6df-6e4 6e7-6e8 "
     "6ea-6ed 711 730-74a 7a6-7b0 7eb-7f3 7fd 816-819 81b-823 825-827 829-82d 859-85b 897-89f "
     "8ca-8e1 8e3-902 93a 93c 941-948 94d 951-957 962-963 981 9bc 9be 9c1-9c4 9cd 9d7 9e2-9e3 9fe "
     "a01-a02 a3c a41-a42 a47-a48 a4b-a4d a51 a70-a71 a75 a81-a82 abc ac1-ac5 ac7-ac8 acd ae2-ae3 "
     "afa-aff b01 b3c b3e-b3f b41-b44 b4d b55-b57 b62-b63 b82 bbe bc0 bcd bd7 c00 c04 c3c c3e-c40 "
     "c46-c48 c4a-c4d c55-c56 c62-c63 c81 cbc cbf-cc0 cc2 cc6-cc8 cca-ccd cd5-cd6 ce2-ce3 d00-d01 "
     "d3b-d3c d3e d41-d44 d4d d57 d62-d63 d81 dca dcf dd2-dd4 dd6 ddf e31 e34-e3a e47-e4e eb1 "
     "eb4-ebc ec8-ece f18-f19 f35 f37 f39 f71-f7e f80-f84 f86-f87 f8d-f97 f99-fbc fc6 102d-1030 "
     "1032-1037 1039-103a 103d-103e 1058-1059 105e-1060 1071-1074 1082 1085-1086 108d 109d "
     "135d-135f 1712-1715 1732-1734 1752-1753 1772-1773 17b4-17b5 17b7-17bd 17c6 17c9-17d3 17dd "
     "180b-180d 180f 1885-1886 18a9 1920-1922 1927-1928 1932 1939-193b 1a17-1a18 1a1b 1a56 "
     "1a58-1a5e 1a60 1a62 1a65-1a6c 1a73-1a7c 1a7f 1ab0-1ace 1b00-1b03 1b34-1b3d 1b42-1b44 "
     "1b6b-1b73 1b80-1b81 1ba2-1ba5 1ba8-1bad 1be6 1be8-1be9 1bed 1bef-1bf3 1c2c-1c33 1c36-1c37 "
     "1cd0-1cd2 1cd4-1ce0 1ce2-1ce8 1ced 1cf4 1cf8-1cf9 1dc0-1dff 200c 20d0-20f0 2cef-2cf1 2d7f "
     "2de0-2dff 302a-302f 3099-309a a66f-a672 a674-a67d a69e-a69f a6f0-a6f1 a802 a806 a80b "
     "a825-a826 a82c a8c4-a8c5 a8e0-a8f1 a8ff a926-a92d a947-a951 a953 a980-a982 a9b3 a9b6-a9b9 "
     "a9bc-a9bd a9c0 a9e5 aa29-aa2e aa31-aa32 aa35-aa36 aa43 aa4c aa7c aab0 aab2-aab4 aab7-aab8 "
     "aabe-aabf aac1 aaec-aaed aaf6 abe5 abe8 abed fb1e fe00-fe0f fe20-fe2f ff9e-ff9f 101fd 102e0 "
     "10376-1037a 10a01-10a03 10a05-10a06 10a0c-10a0f 10a38-10a3a 10a3f 10ae5-10ae6 10d24-10d27 "
     "10d69-10d6d 10eab-10eac 10efc-10eff 10f46-10f50 10f82-10f85 11001 11038-11046 11070 "
     "11073-11074 1107f-11081 110b3-110b6 110b9-110ba 110c2 11100-11102 11127-1112b 1112d-11134 "
     "11173 11180-11181 111b6-111be 111c0 111c9-111cc 111cf 1122f-11231 11234-11237 1123e 11241 "
     "112df 112e3-112ea 11300-11301 1133b-1133c 1133e 11340 1134d 11357 11366-1136c 11370-11374 "
     "113b8 113bb-113c0 113c2 113c5 113c7-113c9 113ce-113d0 113d2 113e1-113e2 11438-1143f "
     "11442-11444 11446 1145e 114b0 114b3-114b8 114ba 114bd 114bf-114c0 114c2-114c3 115af "
     "115b2-115b5 115bc-115bd 115bf-115c0 115dc-115dd 11633-1163a 1163d 1163f-11640 116ab 116ad "
     "116b0-116b7 1171d 1171f 11722-11725 11727-1172b 1182f-11837 11839-1183a 11930 1193b-1193e "
     "11943 119d4-119d7 119da-119db 119e0 11a01-11a0a 11a33-11a38 11a3b-11a3e 11a47 11a51-11a56 "
     "11a59-11a5b 11a8a-11a96 11a98-11a99 11c30-11c36 11c38-11c3d 11c3f 11c92-11ca7 11caa-11cb0 "
     "11cb2-11cb3 11cb5-11cb6 11d31-11d36 11d3a 11d3c-11d3d 11d3f-11d45 11d47 11d90-11d91 11d95 "
     "11d97 11ef3-11ef4 11f00-11f01 11f36-11f3a 11f40-11f42 11f5a 13440 13447-13455 1611e-16129 "
     "1612d-1612f 16af0-16af4 16b30-16b36 16f4f 16f8f-16f92 16fe4 16ff0-16ff1 1bc9d-1bc9e "
     "1cf00-1cf2d 1cf30-1cf46 1d165-1d169 1d16d-1d172 1d17b-1d182 1d185-1d18b 1d1aa-1d1ad "
     "1d242-1d244 1da00-1da36 1da3b-1da6c 1da75 1da84 1da9b-1da9f 1daa1-1daaf 1e000-1e006 "
     "1e008-1e018 1e01b-1e021 1e023-1e024 1e026-1e02a 1e08f 1e130-1e136 1e2ae 1e2ec-1e2ef "
     "1e4ec-1e4ef 1e5ee-1e5ef 1e8d0-1e8d6 1e944-1e94a e0020-e007f e0100-e01ef",
     false, true},
    {" graphemelink grlink ", "\\p{graphemelink}", "113ce-113d0 11f41-11f42 1612f", false, false},
    {" hex hexdigit ", "\\p{hex}", "", false, false},
    {" idc idcontinue ", "\\p{idc}",
     "897 cf3 ece 1c89-1c8a 200c-200d 30fb a7cb-a7cd a7da-a7dc ff65 105c0-105f3 10d40-10d65 "
     "10d69-10d6d 10d6f-10d85 10ec2-10ec4 10efc-10eff 1123f-11241 11380-11389 1138b 1138e "
     "11390-113b5 113b7-113c0 113c2 113c5 113c7-113ca 113cc-113d3 113e1-113e2 116d0-116e3 "
     "11bc0-11be0 11bf0-11bf9 11f00-11f10 11f12-11f3a 11f3e-11f42 11f50-11f5a 1342f 13440-13455 "
     "13460-143fa 16100-16139 16d40-16d6c 16d70-16d79 18cff 1b132 1b155 1ccf0-1ccf9 1df25-1df2a "
     "1e030-1e06d 1e08f 1e4d0-1e4f9 1e5d0-1e5fa 2b739 2ebf0-2ee5d 31350-323af",
     false, false},
    {" ideo ideographic ", "\\p{ideo}", "18cff 2b739 2ebf0-2ee5d 31350-323af", false, false},
    {" ids idstart ", "\\p{ids}",
     "1c89-1c8a a7cb-a7cd a7da-a7dc 105c0-105f3 10d4a-10d65 10d6f-10d85 10ec2-10ec4 1123f-11240 "
     "11380-11389 1138b 1138e 11390-113b5 113b7 113d1 113d3 11bc0-11be0 11f02 11f04-11f10 "
     "11f12-11f33 1342f 13441-13446 13460-143fa 16100-1611d 16d40-16d6c 18cff 1b132 1b155 "
     "1df25-1df2a 1e030-1e06d 1e4d0-1e4eb 1e5d0-1e5ed 1e5f0 2b739 2ebf0-2ee5d 31350-323af",
     false, true},
    {" idsb idsbinaryoperator ", "\\p{idsb}", "2ffc-2ffd 31ef", false, false},
    {" idst idstrinaryoperator ", "\\p{idst}", "", false, false},
    {" joinc joincontrol ", "", "200c-200d", false, false},
    {" loe logicalorderexception ", "\\p{loe}", "", false, false},
    {" math ", "\\p{math}", "10d8e-10d8f", false, true},
    {" nchar noncharactercodepoint ", "\\p{nchar}", "", false, false},
    {" patsyn patternsyntax ", "\\p{patsyn}", "", false, false},
    {" patternwhitespace patws ", "\\p{patternwhitespace}", "", false, false},
    {" pcm prependedconcatenationmark ", "\\p{pcm}", "", false, false},
    {" qmark quotationmark ", "\\p{qmark}", "", false, false},
    {" radical ", "\\p{radical}", "", false, false},
    {" regionalindicator ri ", "", "1f1e6-1f1ff", false, false},
    {" sd softdotted ", "\\p{sd}", "1e04c-1e04d 1e068", false, true},
    {" sentenceterminal sterm ", "\\p{sentenceterminal}",
     "17d4-17d5 1b4e-1b4f 1b7f 2024 2cf9-2cfb fe12 fe15-fe16 113d4-113d5 11f43-11f44 16d6e-16d6f",
     false, false},
    {" term terminalpunctuation ", "",
     "21 2c 2e 3a-3b 3f 37e 387 589 5c3 60c 61b 61d-61f 6d4 700-70a 70c 7f8-7f9 830-835 837-83e "
     "85e 964-965 e5a-e5b f08 f0d-f12 104a-104b 1361-1368 166e 16eb-16ed 1735-1736 17d4-17d6 17da "
     "1802-1805 1808-1809 1944-1945 1aa8-1aab 1b4e-1b4f 1b5a-1b5b 1b5d-1b5f 1b7d-1b7f 1c3b-1c3f "
     "1c7e-1c7f 2024 203c-203d 2047-2049 2cf9-2cfb 2e2e 2e3c 2e41 2e4c 2e4e-2e4f 2e53-2e54 "
     "3001-3002 a4fe-a4ff a60d-a60f a6f3-a6f7 a876-a877 a8ce-a8cf a92f a9c7-a9c9 aa5d-aa5f aadf "
     "aaf0-aaf1 abeb fe12 fe15-fe16 fe50-fe52 fe54-fe57 ff01 ff0c ff0e ff1a-ff1b ff1f ff61 ff64 "
     "1039f 103d0 10857 1091f 10a56-10a57 10af0-10af5 10b3a-10b3f 10b99-10b9c 10f55-10f59 "
     "10f86-10f89 11047-1104d 110be-110c1 11141-11143 111c5-111c6 111cd 111de-111df 11238-1123c "
     "112a9 113d4-113d5 1144b-1144d 1145a-1145b 115c2-115c5 115c9-115d7 11641-11642 1173c-1173e "
     "11944 11946 11a42-11a43 11a9b-11a9c 11aa1-11aa2 11c41-11c43 11c71 11ef7-11ef8 11f43-11f44 "
     "12470-12474 16a6e-16a6f 16af5 16b37-16b39 16b44 16d6e-16d6f 16e97-16e98 1bc9f 1da87-1da8a",
     false, false},
    {" uideo unifiedideograph ", "\\p{uideo}", "2b739 2ebf0-2ee5d 31350-323af", false, false},
    {" variationselector vs ", "\\p{variationselector}", "", false, false},
    {" xidc xidcontinue ", "\\p{xidc}",
     "897 cf3 ece 1c89-1c8a 200c-200d 30fb a7cb-a7cd a7da-a7dc ff65 105c0-105f3 10d40-10d65 "
     "10d69-10d6d 10d6f-10d85 10ec2-10ec4 10efc-10eff 1123f-11241 11380-11389 1138b 1138e "
     "11390-113b5 113b7-113c0 113c2 113c5 113c7-113ca 113cc-113d3 113e1-113e2 116d0-116e3 "
     "11bc0-11be0 11bf0-11bf9 11f00-11f10 11f12-11f3a 11f3e-11f42 11f50-11f5a 1342f 13440-13455 "
     "13460-143fa 16100-16139 16d40-16d6c 16d70-16d79 18cff 1b132 1b155 1ccf0-1ccf9 1df25-1df2a "
     "1e030-1e06d 1e08f 1e4d0-1e4f9 1e5d0-1e5fa 2b739 2ebf0-2ee5d 31350-323af",
     false, false},
    {" xids xidstart ", "\\p{xids}",
     "1c89-1c8a a7cb-a7cd a7da-a7dc 105c0-105f3 10d4a-10d65 10d6f-10d85 10ec2-10ec4 1123f-11240 "
     "11380-11389 1138b 1138e 11390-113b5 113b7 113d1 113d3 11bc0-11be0 11f02 11f04-11f10 "
     "11f12-11f33 1342f 13441-13446 13460-143fa 16100-1611d 16d40-16d6c 18cff 1b132 1b155 "
     "1df25-1df2a 1e030-1e06d 1e4d0-1e4eb 1e5d0-1e5ed 1e5f0 2b739 2ebf0-2ee5d 31350-323af",
     false, true},
    {" adlam adlm ", "\\p{sc:adlam}", "", false, false},
    {" aghb caucasianalbanian ", "\\p{aghb}", "", false, false},
    {" ahom ", "\\p{ahom}", "", false, false},
    {" anatolianhieroglyphs hluw ", "", "14400-14646", false, false},
    {" arab arabic ", "\\p{sc:arab}", "897 10ec2-10ec4 10efc-10eff", false, false},
    {" armenian armn ", "\\p{armenian}", "", false, false},
    {" armi imperialaramaic ", "\\p{armi}", "", false, false},
    {" avestan avst ", "\\p{avestan}", "", false, false},
    {" bali balinese ", "", "1b00-1b4c 1b4e-1b7f", false, false},
    {" bamu bamum ", "\\p{bamu}", "", false, false},
    {" bass bassavah ", "\\p{bass}", "", false, false},
    {" batak batk ", "\\p{batak}", "", false, false},
    {" beng bengali ", "\\p{sc:beng}", "", false, false},
    {" bhaiksuki bhks ", "\\p{bhaiksuki}", "", false, false},
    {" bopo bopomofo ", "\\p{sc:bopo}", "", false, false},
    {" brah brahmi ", "\\p{brah}", "", false, false},
    {" brai braille ", "\\p{brai}", "", false, false},
    {" bugi buginese ", "\\p{sc:bugi}", "", false, false},
    {" buhd buhid ", "", "1740-1753", false, false},
    {" cakm chakma ", "\\p{sc:cakm}", "", false, false},
    {" canadianaboriginal cans ", "\\p{canadianaboriginal}", "", false, false},
    {" cari carian ", "\\p{cari}", "", false, false},
    {" cham ", "\\p{cham}", "", false, false},
    {" cher cherokee ", "\\p{cher}", "", false, false},
    {" chorasmian chrs ", "", "10fb0-10fcb", false, false},
    {" common zyyy ", "\\p{common}",
     "2427-2429 2ffc-2fff 31e4-31e5 31ef 1cc00-1ccf9 1cd00-1ceb3 1d2c0-1d2d3 1f6dc 1f774-1f776 "
     "1f77b-1f77f 1f7d9 1f8b2-1f8bb 1f8c0-1f8c1 1fa75-1fa77 1fa87-1fa89 1fa8f 1faad-1faaf "
     "1fabb-1fabf 1fac6 1face-1facf 1fada-1fadc 1fadf 1fae8-1fae9 1faf7-1faf8 1fbcb-1fbef",
     false, true},
    {" copt coptic qaac ", "\\p{sc:copt}", "", false, false},
    {" cpmn cyprominoan ", "", "12f90-12ff2", false, false},
    {" cprt cypriot ", "\\p{sc:cprt}", "", false, false},
    {" cuneiform xsux ", "\\p{cuneiform}", "", false, false},
    {" cyrillic cyrl ", "\\p{sc:cyrillic}", "1c89-1c8a 1e030-1e06d 1e08f", false, false},
    {" deseret dsrt ", "", "10400-1044f", false, false},
    {" deva devanagari ", "\\p{sc:deva}", "11b00-11b09", false, false},
    {" diak divesakuru ", "\\p{diak}", "", false, false},
    {" dogr dogra ", "", "11800-1183b", false, false},
    {" dupl duployan ", "\\p{sc:dupl}", "", false, false},
    {" egyp egyptianhieroglyphs ", "", "13000-13455 13460-143fa", false, false},
    {" elba elbasan ", "\\p{elba}", "", false, false},
    {" elym elymaic ", "\\p{elym}", "", false, false},
    {" ethi ethiopic ", "\\p{ethi}", "", false, false},
    {" garay ", "", "10d40-10d65 10d69-10d85 10d8e-10d8f", false, false},
    {" geor georgian ", "\\p{sc:geor}", "", false, false},
    {" glag glagolitic ", "\\p{sc:glag}", "", false, false},
    {" gong gunjalagondi ", "\\p{sc:gong}", "", false, false},
    {" gonm masaramgondi ", "\\p{sc:gonm}", "", false, false},
    {" goth gothic ", "\\p{goth}", "", false, false},
    {" gran grantha ", "\\p{sc:gran}", "", false, false},
    {" greek grek ", "\\p{sc:greek}", "", false, true},
    {" gujarati gujr ", "\\p{sc:gujarati}", "", false, false},
    {" gukh gurungkhema ", "", "16100-16139", false, false},
    {" gurmukhi guru ", "\\p{sc:gurmukhi}", "", false, false},
    {" han hani ", "\\p{sc:han}", "2b739 2ebf0-2ee5d 31350-323af", false, false},
    {" hang hangul ", "\\p{sc:hang}", "", false, false},
    {" hanifirohingya rohg ", "\\p{sc:hanifirohingya}", "", false, false},
    {" hano hanunoo ", "", "1720-1734", false, false},
    {" hatr hatran ", "\\p{hatr}", "", false, false},
    {" hebr hebrew ", "\\p{hebr}", "", false, false},
    {" hira hiragana ", "\\p{sc:hira}", "1b132", false, false},
    {" hmng pahawhhmong ", "\\p{hmng}", "", false, false},
    {" hmnp nyiakengpuachuehmong ", "\\p{hmnp}", "", false, false},
    {" hung oldhungarian ", "\\p{hung}", "", false, false},
    {" inherited qaai zinh ", "\\p{inherited}", "", false, true},
    {" inscriptionalpahlavi phli ", "", "10b60-10b72 10b78-10b7f", false, false},
    {" inscriptionalparthian prti ", "", "10b40-10b55 10b58-10b5f", false, false},
    {" ital olditalic ", "\\p{ital}", "", false, false},
    {" java javanese ", "\\p{sc:java}", "", false, false},
    {" kaithi kthi ", "\\p{sc:kaithi}", "", false, false},
    {" kali kayahli ", "\\p{sc:kali}", "", false, false},
    {" kana katakana ", "\\p{sc:kana}", "1b155", false, false},
    {" kannada knda ", "\\p{sc:kannada}", "cf3", false, false},
    {" kawi ", "", "11f00-11f10 11f12-11f3a 11f3e-11f5a", false, false},
    {" khar kharoshthi ", "\\p{khar}", "", false, false},
    {" khitansmallscript kits ", "", "16fe4 18b00-18cd5 18cff", false, false},
    {" khmer khmr ", "\\p{khmer}", "", false, false},
    {" khoj khojki ", "\\p{sc:khoj}", "1123f-11241", false, false},
    {" khudawadi sind ", "\\p{sc:khudawadi}", "", false, false},
    {" kiratrai krai ", "", "16d40-16d79", false, false},
    {" lana taitham ", "\\p{lana}", "", false, false},
    {" lao laoo ", "\\p{lao}", "ece", false, false},
    {" latin latn ", "\\p{sc:latin}", "a7cb-a7cd a7da-a7dc 1df25-1df2a", false, false},
    {" lepc lepcha ", "\\p{lepc}", "", false, false},
    {" limb limbu ", "\\p{sc:limb}", "", false, false},
    {" lina lineara ", "\\p{sc:lina}", "", false, false},
    {" linb linearb ", "\\p{sc:linb}", "", false, false},
    {" lisu ", "\\p{lisu}", "", false, false},
    {" lyci lycian ", "\\p{lyci}", "", false, false},
    {" lydi lydian ", "\\p{lydi}", "", false, false},
    {" mahajani mahj ", "", "11150-11176", false, false},
    {" maka makasar ", "\\p{maka}", "", false, false},
    {" malayalam mlym ", "\\p{sc:malayalam}", "", false, false},
    {" mand mandaic ", "", "840-85b 85e", false, false},
    {" mani manichaean ", "\\p{sc:mani}", "", false, false},
    {" marc marchen ", "\\p{marc}", "", false, false},
    {" medefaidrin medf ", "", "16e40-16e9a", false, false},
    {" meeteimayek mtei ", "\\p{meeteimayek}", "", false, false},
    {" mend mendekikakui ", "\\p{mend}", "", false, false},
    {" merc meroiticcursive ", "\\p{merc}", "", false, false},
    {" mero meroitichieroglyphs ", "\\p{mero}", "", false, false},
    {" miao plrd ", "\\p{miao}", "", false, false},
    {" modi ", "\\p{sc:modi}", "", false, false},
    {" mong mongolian ", "\\p{sc:mong}", "", false, false},
    {" mro mroo ", "\\p{mro}", "", false, false},
    {" mult multani ", "\\p{sc:mult}", "", false, false},
    {" myanmar mymr ", "\\p{sc:myanmar}", "116d0-116e3", false, false},
    {" nabataean nbat ", "\\p{nabataean}", "", false, false},
    {" nagm nagmundari ", "", "1e4d0-1e4f9", false, false},
    {" nand nandinagari ", "\\p{sc:nand}", "", false, false},
    {" narb oldnortharabian ", "\\p{narb}", "", false, false},
    {" newa ", "\\p{newa}", "", false, false},
    {" newtailue talu ", "\\p{newtailue}", "", false, false},
    {" nko nkoo ", "\\p{sc:nko}", "", false, false},
    {" nshu nushu ", "\\p{nshu}", "", false, false},
    {" ogam ogham ", "\\p{ogam}", "", false, false},
    {" olchiki olck ", "", "1c50-1c7f", false, false},
    {" oldpermic perm ", "", "10350-1037a", false, false},
    {" oldpersian xpeo ", "\\p{oldpersian}", "", false, false},
    {" oldsogdian sogo ", "", "10f00-10f27", false, false},
    {" oldsoutharabian sarb ", "", "10a60-10a7f", false, false},
    {" oldturkic orkh ", "", "10c00-10c48", false, false},
    {" olduyghur ougr ", "", "10f70-10f89", false, false},
    {" olonal onao ", "", "1e5d0-1e5fa 1e5ff", false, false},
    {" oriya orya ", "\\p{sc:oriya}", "", false, false},
    {" osage osge ", "\\p{osage}", "", false, false},
    {" osma osmanya ", "\\p{osma}", "", false, false},
    {" palm palmyrene ", "\\p{palm}", "", false, false},
    {" pauc paucinhau ", "\\p{pauc}", "", false, false},
    {" phag phagspa ", "", "a840-a877", false, false},
    {" phlp psalterpahlavi ", "\\p{sc:phlp}", "", false, false},
    {" phnx phoenician ", "\\p{phnx}", "", false, false},
    {" rejang rjng ", "\\p{rejang}", "", false, false},
    {" runic runr ", "\\p{runic}", "", false, false},
    {" samaritan samr ", "\\p{samaritan}", "", false, false},
    {" saur saurashtra ", "\\p{saur}", "", false, false},
    {" sgnw signwriting ", "\\p{sgnw}", "", false, false},
    {" sharada shrd ", "", "11180-111df", false, false},
    {" shavian shaw ", "", "10450-1047f", false, false},
    {" sidd siddham ", "\\p{sidd}", "", false, false},
    {" sinh sinhala ", "\\p{sc:sinh}", "", false, false},
    {" sogd sogdian ", "", "10f30-10f59", false, false},
    {" sora sorasompeng ", "\\p{sora}", "", false, false},
    {" soyo soyombo ", "\\p{soyo}", "", false, false},
    {" sund sundanese ", "\\p{sund}", "", false, false},
    {" sunu sunuwar ", "", "11bc0-11be1 11bf0-11bf9", false, false},
    {" sylo sylotinagri ", "", "a800-a82c", false, false},
    {" syrc syriac ", "\\p{sc:syrc}", "", false, false},
    {" tagalog tglg ", "", "1700-1715 171f", false, false},
    {" tagb tagbanwa ", "\\p{sc:tagb}", "", false, false},
    {" taile tale ", "\\p{sc:taile}", "", false, false},
    {" taiviet tavt ", "\\p{taiviet}", "", false, false},
    {" takr takri ", "\\p{sc:takr}", "", false, false},
    {" tamil taml ", "\\p{sc:tamil}", "", false, false},
    {" tang tangut ", "\\p{tang}", "", false, false},
    {" tangsa tnsa ", "\\p{tangsa}", "", false, false},
    {" telu telugu ", "\\p{sc:telu}", "", false, false},
    {" tfng tifinagh ", "\\p{tfng}", "", false, false},
    {" thaa thaana ", "", "780-7b1", false, false},
    {" thai ", "\\p{thai}", "", false, false},
    {" tibetan tibt ", "\\p{tibetan}", "", false, false},
    {" tirh tirhuta ", "\\p{sc:tirh}", "", false, false},
    {" todhri todr ", "", "105c0-105f3", false, false},
    {" toto ", "\\p{toto}", "", false, false},
    {" tulutigalari tutg ", "",
     "11380-11389 1138b 1138e 11390-113b5 113b7-113c0 113c2 113c5 113c7-113ca 113cc-113d5 "
     "113d7-113d8 113e1-113e2",
     false, false},
    {" ugar ugaritic ", "\\p{ugar}", "", false, false},
    {" unknown zzzz ", "\\P{unknown}",
     "897 cf3 ece 1b4e-1b4f 1b7f 1c89-1c8a 2427-2429 2ffc-2fff 31e4-31e5 31ef a7cb-a7cd a7da-a7dc "
     "105c0-105f3 10d40-10d65 10d69-10d85 10d8e-10d8f 10ec2-10ec4 10efc-10eff 1123f-11241 "
     "11380-11389 1138b 1138e 11390-113b5 113b7-113c0 113c2 113c5 113c7-113ca 113cc-113d5 "
     "113d7-113d8 113e1-113e2 116d0-116e3 11b00-11b09 11bc0-11be1 11bf0-11bf9 11f00-11f10 "
     "11f12-11f3a 11f3e-11f5a 1342f 13439-13455 13460-143fa 16100-16139 16d40-16d79 18cff 1b132 "
     "1b155 1cc00-1ccf9 1cd00-1ceb3 1d2c0-1d2d3 1df25-1df2a 1e030-1e06d 1e08f 1e4d0-1e4f9 "
     "1e5d0-1e5fa 1e5ff 1f6dc 1f774-1f776 1f77b-1f77f 1f7d9 1f8b2-1f8bb 1f8c0-1f8c1 1fa75-1fa77 "
     "1fa87-1fa89 1fa8f 1faad-1faaf 1fabb-1fabf 1fac6 1face-1facf 1fada-1fadc 1fadf 1fae8-1fae9 "
     "1faf7-1faf8 1fbcb-1fbef 2b739 2ebf0-2ee5d 31350-323af",
     true, false},
    {" vai vaii ", "\\p{vai}", "", false, false},
    {" vith vithkuqi ", "\\p{vith}", "", false, false},
    {" wancho wcho ", "\\p{wancho}", "", false, false},
    {" wara warangciti ", "\\p{wara}", "", false, false},
    {" yezi yezidi ", "\\p{sc:yezi}", "", false, false},
    {" yi yiii ", "\\p{sc:yi}", "", false, false},
    {" zanabazarsquare zanb ", "", "11a00-11a47", false, false},
    {" :word ", "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}",
     "897 cf3 ece 1c89-1c8a a7cb-a7cd a7da-a7dc 105c0-105f3 10d40-10d65 10d69-10d6d 10d6f-10d85 "
     "10ec2-10ec4 10efc-10eff 1123f-11241 11380-11389 1138b 1138e 11390-113b5 113b7-113c0 113c2 "
     "113c5 113c7-113ca 113cc-113d3 113e1-113e2 116d0-116e3 11bc0-11be0 11bf0-11bf9 11f00-11f10 "
     "11f12-11f3a 11f3e-11f42 11f50-11f5a 1342f 13440-13455 13460-143fa 16100-16139 16d40-16d6c "
     "16d70-16d79 18cff 1b132 1b155 1ccf0-1ccf9 1df25-1df2a 1e030-1e06d 1e08f 1e4d0-1e4f9 "
     "1e5d0-1e5fa 2b739 2ebf0-2ee5d 31350-323af",
     false, false},
};
const size_t n_regex_sets = ARRAY_LEN(regex_sets);
