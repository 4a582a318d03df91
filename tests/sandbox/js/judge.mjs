// A conversation of the official JavaScript SDK with a sandbox: text, tool, audio, barge-in, session.update, MCP.
//
//   node judge.mjs URL SOUND      SOUND is raw PCM16 at 24 kHz that is taken for speech
//
// Prints one JSON object: the types of all events, those that the SDK's schema does not take, and what went wrong.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession, tool } from '@openai/agents-realtime';
import { z } from 'zod';

// The package exports no schema; this is the file that its own parser uses.
const main = createRequire(import.meta.url).resolve('@openai/agents-realtime');
const { realtimeServerEventSchema } = await import(pathToFileURL(join(dirname(main), 'openaiRealtimeEvents.mjs')));

const [url, sound] = process.argv.slice(2);
const LIMIT_MS = 15_000;
const FRAME = 960;

const kinds = [];
const unmatched = [];
const errors = [];
const looked = [];
const waiting = [];
let interrupted = 0;
let audioBytes = 0;

function seen(event) {
  kinds.push(event.type);
  const parsed = realtimeServerEventSchema.safeParse(event);
  if (!parsed.success) unmatched.push({ type: event.type, issues: parsed.error.issues });
  for (const wait of [...waiting]) wait(event);
}

function until(kind, holds = () => true) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${kind}; last: ${kinds.slice(-8)}`)), LIMIT_MS);
    const wait = (event) => {
      if (event.type !== kind || !holds(event)) return;
      clearTimeout(timer);
      waiting.splice(waiting.indexOf(wait), 1);
      resolve(event);
    };
    waiting.push(wait);
  });
}

const said = (event) => event.response.output.some((item) => item.type === 'message');

const lookUp = tool({
  name: 'lookup_order',
  description: 'State of an order',
  parameters: z.object({ number: z.string() }),
  execute: async ({ number }) => {
    looked.push(number);
    return 'it is ready';
  },
});
const agent = new RealtimeAgent({ name: 'desk', instructions: 'You answer the telephone.', tools: [lookUp] });
const transport = new OpenAIRealtimeWebSocket({ url });
const session = new RealtimeSession(agent, {
  transport,
  model: 'gpt-realtime-2.1',
  tracingDisabled: true,
  config: {
    audio: {
      input: {
        format: { type: 'audio/pcm', rate: 24000 },
        transcription: { model: 'gpt-transcribe' },
        turnDetection: { type: 'server_vad', silenceDurationMs: 300, interruptResponse: true, createResponse: true },
      },
    },
  },
});
transport.on('*', seen);
session.on('error', (error) => errors.push(JSON.stringify(error)));
session.on('audio_interrupted', () => (interrupted += 1));
session.on('audio', (event) => (audioBytes += event.data.byteLength));

function speak(ms) {
  const speech = readFileSync(sound).subarray(0, ms * 48);
  const whole = Buffer.concat([speech, Buffer.alloc(48 * 500)]);
  for (let at = 0; at < whole.length; at += FRAME) {
    const frame = whole.subarray(at, at + FRAME);
    session.sendAudio(frame.buffer.slice(frame.byteOffset, frame.byteOffset + frame.length));
  }
}

const updated = until('session.updated');
await session.connect({ apiKey: 'sk-test', url });
await updated;

// Text, and the answer to it.
let done = until('response.done', said);
session.sendMessage('What are your opening hours?');
await done;

// A tool of the client's, and the answer to its result.
const called = until('response.done', (event) => event.response.output.some((item) => item.type === 'function_call'));
session.sendMessage('My order number is 427');
await called;
await until('response.done', said);

// A spoken turn.
done = until('response.done', said);
speak(500);
await done;

// A spoken turn into an answer that is being heard.
const heard = until('response.output_audio.delta');
session.sendMessage('Tell me about your prices');
await heard;
const truncated = until('conversation.item.truncated');
const retrieved = until('conversation.item.retrieved');
const cancelled = until('response.done', (event) => event.response.status === 'cancelled');
const answered = until('response.done', (event) => event.response.status === 'completed');
speak(400);
await Promise.all([truncated, retrieved, cancelled, answered]);

// Other settings, and an MCP server among them.
const changed = until('session.updated', (event) => event.session.instructions === 'Be brief.');
const listed = until('mcp_list_tools.completed');
transport.sendEvent({
  type: 'session.update',
  session: {
    type: 'realtime',
    instructions: 'Be brief.',
    tools: [{ type: 'mcp', server_label: 'shop', server_url: 'https://shop.example/mcp', require_approval: 'never' }],
  },
});
await Promise.all([changed, listed]);
const finished = until('response.mcp_call.completed');
session.sendMessage('Ask the shop');
await finished;

session.close();
const history = session.history.map((item) => `${item.type} ${item.role ?? item.name}`);
const node = process.versions.node;
process.stdout.write(JSON.stringify({ node, kinds, unmatched, errors, looked, interrupted, audioBytes, history }));
process.exit(0);
