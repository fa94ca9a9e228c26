// The acceptance worker for the `init` API (npm iii-sdk 0.2 and 0.3); see ../README.md.
import { setTimeout as delay } from 'node:timers/promises'
import { init } from 'iii-sdk'

const service = process.env.SERVICE
const iii = init(process.env.III_URL, { workerName: service })

const notes = []
const works = []
const registered = new Map()
const routes = new Map()
const triggers = new Map()
const bells = new Map()
let available = []

const outcome = (call) =>
  call.then(
    (result) => ({ result }),
    (error) => ({ error: { code: error.code ?? null, message: error.message ?? String(error) } }),
  )

const register = (name, handler) => iii.registerFunction({ id: `${service}::${name}` }, handler)

const bellProvider = {
  async registerTrigger({ id, function_id, config }) {
    if (config?.refuse) throw new Error('this bell is not for sale')
    bells.set(id, { id, function_id, config })
  },
  async unregisterTrigger({ id }) {
    bells.delete(id)
  },
}

register('echo', async (data) => data)
register('add', async ({ a, b }) => a + b)
register('fail', async () => {
  throw new Error('told to fail')
})
register('nothing', async () => {})
register('slow', async ({ ms }) => {
  notes.push('slow')
  await delay(ms)
  return 'done'
})
register('remember', async ({ note }) => {
  notes.push(note)
})
register('remembered', async () => notes)
register('make', async ({ size }) => 'x'.repeat(size))
register('work', async (data) => {
  works.push(data)
  const errors = data?.errors ?? []
  const error = errors[works.filter((each) => each?.note === data?.note).length - 1]
  if (error !== undefined) throw new Error(error)
})
register('worked', async () => works)

register('measure', async ({ function_id, data }) => (await iii.call(function_id, data)).length)
register('call', async ({ function_id, data, timeout_ms }) =>
  outcome(iii.call(function_id, data, timeout_ms)),
)
register('call_void', async ({ function_id, data }) => {
  iii.callVoid(function_id, data)
})
register('call_parallel', async ({ function_id, items }) =>
  Promise.all(items.map((item) => iii.call(function_id, item))),
)

register('list_functions', async () => (await iii.listFunctions()).map((f) => f.function_id))
register('list_workers', async () =>
  (await iii.listWorkers()).map(({ name, runtime, version }) => ({ name, runtime, version })),
)

register('register', async ({ id }) => {
  registered.set(id, iii.registerFunction({ id }, async (data) => data))
})
register('unregister', async ({ id }) => {
  registered.get(id).unregister()
})

register('open_route', async ({ path }) => {
  const config = { api_path: path, http_method: 'GET' }
  const function_id = `${service}::get_item`
  // `trigger_type` is the spelling of the SDK's alpha versions; this one still takes it.
  routes.set(path, iii.registerTrigger({ trigger_type: 'api', function_id, config }))
})
register('close_route', async ({ path }) => {
  routes.get(path).unregister()
})

register('bind', async ({ trigger_type, function_id, config }) => {
  triggers.set(function_id, iii.registerTrigger({ type: trigger_type, function_id, config }))
})
register('unbind', async ({ function_id }) => {
  triggers.get(function_id).unregister()
})
register('offer', async ({ id }) => {
  iii.registerTriggerType({ id, description: 'One more bell' }, bellProvider)
})
register('bells', async () => [...bells.values()])
register('ring', async ({ function_id, payload }) => {
  const rung = [...bells.values()].filter((bell) => bell.function_id === function_id)
  return Promise.all(rung.map(() => iii.call(function_id, payload)))
})
register('available', async () => available)

const items = new Map()

register('own_stream', async ({ name }) => {
  const group = ({ group_id }) => {
    if (!items.has(group_id)) items.set(group_id, new Map())
    return items.get(group_id)
  }
  const stream = {
    get: async (input) => group(input).get(input.item_id) ?? null,
    set: async (input) => {
      const old_value = group(input).get(input.item_id) ?? null
      group(input).set(input.item_id, { ...input.data, kept_by: service })
      return { old_value, new_value: group(input).get(input.item_id) }
    },
    delete: async (input) => {
      const old_value = group(input).get(input.item_id) ?? null
      group(input).delete(input.item_id)
      return { old_value }
    },
    list: async (input) => [...group(input).values()],
    listGroups: async () => [...items.keys()],
    update: async () => null,
  }
  iii.createStream(name, stream)
})

register('get_item', async ({ path_params }) => ({
  status_code: 200,
  body: { id: path_params.id, by: service },
}))

iii.registerTriggerType({ id: `${service}::bell`, description: 'Rings on demand' }, bellProvider)
iii.registerTrigger({
  type: 'http',
  function_id: `${service}::get_item`,
  config: { api_path: `/${service}/items/:id`, http_method: 'GET' },
})
iii.onFunctionsAvailable((functions) => {
  available = functions.map((f) => f.function_id)
})

process.on('SIGTERM', async () => {
  await iii.shutdown()
  process.exit(0)
})

await iii.call(`${service}::echo`, {}, 60_000)
console.log('ready')
