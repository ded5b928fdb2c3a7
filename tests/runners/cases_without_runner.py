"""The same without a runner of tests."""

import asyncio

from tests.runners.cases import test_blocks, test_blocks_the_other_way_round, test_nothing_is_left

asyncio.run(test_blocks())
asyncio.run(test_blocks_the_other_way_round(), debug=True)
with asyncio.Runner() as runner:
    for _ in range(3):
        runner.run(test_blocks())
        runner.run(test_blocks_the_other_way_round())
loop = asyncio.new_event_loop()
loop.run_until_complete(test_blocks())
loop.run_until_complete(test_blocks_the_other_way_round())
loop.close()
test_nothing_is_left()
print("done")
