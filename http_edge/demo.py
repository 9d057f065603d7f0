"""stub"""


async def main():
    return 0
