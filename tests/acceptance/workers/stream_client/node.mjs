// Follows a stream with @motiadev/stream-client-node; see ../README.md.
import { Stream } from '@motiadev/stream-client-node'
import { follow } from './follow.mjs'

const { stream, group } = follow(Stream, process.env.STREAM_URL, (said) =>
  console.log(JSON.stringify(said)),
)

process.on('SIGUSR1', () => group.close())
process.on('SIGTERM', () => {
  stream.close()
  process.exit(0)
})
