// The resources and prompts that the conformance suite asks for by name, without any SDK.
import { type Content, image, png, text } from './content.ts';

export interface FixturePrompt {
  readonly name: string;
  readonly description: string;
  readonly arguments: readonly { readonly name: string; readonly description: string }[];
  messages(args: Record<string, string>): { role: 'user'; content: Content }[];
}

export interface FixtureResource {
  readonly uri: string;
  readonly name: string;
  readonly description: string;
  readonly mimeType: string;
  readonly content: { text: string } | { blob: string };
}

export const resources: readonly FixtureResource[] = [
  {
    uri: 'test://static-text',
    name: 'static-text',
    description: 'A text.',
    mimeType: 'text/plain',
    content: { text: 'This is the content of the static text resource.' },
  },
  {
    uri: 'test://static-binary',
    name: 'static-binary',
    description: 'An image.',
    mimeType: 'image/png',
    content: { blob: png },
  },
  {
    uri: 'test://watched-resource',
    name: 'watched-resource',
    description: 'One to subscribe to.',
    mimeType: 'text/plain',
    content: { text: 'Watched resource content' },
  },
];

export const template = {
  uriTemplate: 'test://template/{id}/data',
  name: 'template',
  description: 'A resource with a parameter.',
  mimeType: 'application/json',
  textOf: (id: string): string => JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }),
};

export const prompts: readonly FixturePrompt[] = [
  {
    name: 'test_simple_prompt',
    description: 'A text.',
    arguments: [],
    messages: () => [{ role: 'user', content: text('This is a simple prompt for testing.') }],
  },
  {
    name: 'test_prompt_with_arguments',
    description: 'A text with two arguments.',
    arguments: [
      { name: 'arg1', description: 'First test argument' },
      { name: 'arg2', description: 'Second test argument' },
    ],
    messages: ({ arg1, arg2 }) => [
      { role: 'user', content: text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`) },
    ],
  },
  {
    name: 'test_prompt_with_embedded_resource',
    description: 'A resource, and what to do with it.',
    arguments: [{ name: 'resourceUri', description: 'URI of the resource to embed' }],
    messages: ({ resourceUri = '' }) => [
      {
        role: 'user',
        content: {
          type: 'resource',
          resource: { uri: resourceUri, mimeType: 'text/plain', text: 'Embedded resource content for testing.' },
        },
      },
      { role: 'user', content: text('Please process the embedded resource above.') },
    ],
  },
  {
    name: 'test_prompt_with_image',
    description: 'An image, and what to do with it.',
    arguments: [],
    messages: () => [
      { role: 'user', content: image },
      { role: 'user', content: text('Please analyze the image above.') },
    ],
  },
];

/** What `completion/complete` answers, whatever was typed. */
export const completion = { values: ['paris', 'park', 'party'], total: 3, hasMore: false };
