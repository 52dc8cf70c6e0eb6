"""What Chromium 156 sent when a page opened WebSockets on the page's own HTTP/2 connection.

Captured from the wire (TLS removed) on `https://localhost:9443/`: the page, its icon, then one
`new WebSocket("wss://localhost:9443/chat")` after another. The first CONNECT meets a dynamic
table that knows the page's fields only (cold: 158 octets); the following ones are nearly all
indexes (warm: 47 octets) and equal but for the ids.
"""

from . import wire

SETTINGS = bytes.fromhex(
    "00001804000000000000010001000000020000000000040060000000060004000000000408000000000000ef0001"
)
PAGE = bytes.fromhex(
    "0001b401250000000180000000ff82418aa0e41d139d09b8fb4d33878440874148b1275ad1ffa2fe749d37215aed"
    "83aa4fe7efbc1fcbdfcfd29fcde9ec3d26b69fe7efbc1fc85b73f9408b4148b1275ad1ad49e33505023f30408d41"
    "48b1275ad1ad5d034ca7b29f07224c696e7578224092b6b9ac1c8558d520a4b6c2ad617b5a54251f01317ad3d07f"
    "66a281b0dae053fafc087ed4ce6aadf2a7979c89c6bfb521aeba0bc8b1e632586d975765c53facd8f7e8cff4a506"
    "ea5531149d4ffda98ca39282a117a7b0f49580b6e2e05c0b814dc394761986d975765c53ec497ca589d34d1f43ae"
    "ba0c41a4c7a98f33a69a3fdf9a68fa1d75d0620d263d4c79a68fbed00177fe8d48e62b1d3cd1f46a4731581f734b"
    "f46a473158f058ebfa352398ac0ebaa6faf963e7efb4005defa1d75d0620d263d4c20d35459162f924e3aa62fdf7"
    "82367efb4005dd408a4148b4a549275906497f83a8f517408a4148b4a549275a93c85f86a87dcd30d25f408a4148"
    "b4a549275ad416cf023f31408a4148b4a549275a42a13f8690e4b692d49f50929bd9abfa5242cb40d25fa523b3e9"
    "4f684c9f518b2d4b70ddf45abefb4005df4086aec31ec327d785b6007d286f"
)
ICON = bytes.fromhex(
    "00008901250000000380000000db82cb8704896251f7310f52e621ffc8c6cac953b9352398ac74f347d1a91cc560"
    "7dcd2fd1a91cc563c163afe8d48e62b03aea9be8d48e62b08ef37fbf34d1f46a473158f9faf963e7efb4005def7f"
    "068840e92ac7b0d31aaf7f0685a8eb10f6237f0584352398bf73919d29ad1718628390744e7426e3ed34cb1fc5c4"
    "7f0485b600fd286f"
)
COLD = bytes.fromhex(
    "00009e01240000000580000000920207434f4e4e454354d187048460938d3f0087b95d8749c87a3f87f058d07275"
    "2a7f4085aec1cd48ff86a8eb10649cbf5886a8eb10649cbfce40853d8698d57f909d29ad1718628390744e7426e3"
    "ed34cf408f4148b782c68393a952b772d8831eaf023133cac940914148b782c68393a952b17ca4b520c7a91f9eac"
    "b65254207315690b2d03497ed425062d498a91f98bc1aa90fe228cc947"
)
WARM = bytes.fromhex(
    "00002f01240000000780000005920207434f4e4e454354d687048460938d3f0087b95d8749c87a3f87f058d07275"
    "2a7fc2c1d1c0bfcbcabe"
)

FIRST = wire.PREFACE + SETTINGS + PAGE + wire.frame(wire.SETTINGS, 0x1, 0) + ICON
REQUESTS = (1, 3)  # the page and its icon want an answer
COLD_STREAM = 5


def warm(stream_id):
    """The warm CONNECT on another stream, depending on the one before it as Chromium's does."""
    return (
        WARM[:5]
        + stream_id.to_bytes(4, "big")
        + (0x80000000 | stream_id - 2).to_bytes(4, "big")
        + WARM[13:]
    )
