// The TypeScript half of the tour: greets people, over HTTP too, asks the Python worker about the
// greeting, and keeps the notes of the live board.
import { registerWorker } from 'iii-sdk'

const worker = registerWorker(process.env.III_URL ?? 'ws://localhost:49134', {
  workerName: 'greeter',
})

// Any worker, in any language, can call this function by its id.
worker.registerFunction('greeter::greet', async ({ name }: { name: string }) => {
  return { message: `Hello, ${name}!` }
})

// GET /hello/:name runs this function; `status_code` and `body` become the HTTP response.
worker.registerFunction('greeter::hello', async (request: { path_params: { name: string } }) => {
  const { name } = request.path_params
  const text = `Hello, ${name}!`
  const about = await worker.trigger({ function_id: 'text::describe', payload: { text } })
  return { status_code: 200, body: { message: text, about } }
})

worker.registerTrigger({
  type: 'api', // `trigger_type` on the wire; 'http' is the same
  function_id: 'greeter::hello',
  config: { api_path: '/hello/:name', http_method: 'GET' },
})

// A trigger can run any function: this one is Python's.
worker.registerTrigger({
  type: 'api',
  function_id: 'text::shout',
  config: { api_path: '/shout', http_method: 'POST' },
})

// Items of this stream and group are what examples/live.html shows: everybody who has it open sees
// a note appear, change and go.
const board = { stream_name: 'board', group_id: 'tour' }

type NoteRequest = { path_params: { id: string }; body: { text: string; done: boolean } }

worker.registerFunction('board::put', async ({ path_params: { id }, body }: NoteRequest) => {
  const data = { id, text: body.text, done: body.done }
  await worker.trigger({ function_id: 'stream::set', payload: { ...board, item_id: id, data } })
  return { status_code: 200, body: data }
})

worker.registerFunction('board::remove', async ({ path_params: { id } }: NoteRequest) => {
  await worker.trigger({ function_id: 'stream::delete', payload: { ...board, item_id: id } })
  return { status_code: 204 }
})

worker.registerTrigger({
  type: 'api',
  function_id: 'board::put',
  config: { api_path: '/board/:id', http_method: 'PUT' },
})

worker.registerTrigger({
  type: 'api',
  function_id: 'board::remove',
  config: { api_path: '/board/:id', http_method: 'DELETE' },
})

process.on('SIGINT', stop)
process.on('SIGTERM', stop)

async function stop() {
  await worker.shutdown()
  process.exit(0)
}

console.log('greeter is up: curl http://localhost:3111/hello/Ada')
