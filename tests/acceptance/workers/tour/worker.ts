// The TypeScript half of the tour: greets people, over HTTP too, and asks the Python worker
// about the greeting.
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

process.on('SIGINT', stop)
process.on('SIGTERM', stop)

async function stop() {
  await worker.shutdown()
  process.exit(0)
}

console.log('greeter is up: curl http://localhost:3111/hello/Ada')
