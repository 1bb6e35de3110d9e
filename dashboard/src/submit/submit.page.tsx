import { useEffect, useMemo } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { sentenceOf } from '../api/sentence.js';
import { say } from '../ui/toast.js';
import { useTitle } from '../ui/title.js';
import { Data } from './data.js';
import { Options } from './options-fields.js';
import { Preview } from './preview.js';
import { Submission } from './submission.js';
import { TypeChoice } from './type-choice.js';
import { Refused } from './refused.js';
import { Send } from './send.js';

/** A form that makes a job of a file or of pasted text. */
export function SubmitPage() {
  useTitle('Submit a job');
  const { route } = useLocation();
  const form = useMemo(() => new Submission(), []);
  useEffect(() => form.start(), [form]);
  const submit = (event: Event) => {
    event.preventDefault();
    form.submit().then(
      (id) => {
        if (id === null) return;
        route(`/jobs/${id}`);
        say('The job is submitted');
      },
      (error: unknown) => say(sentenceOf(error), { isBad: true }),
    );
  };
  return (
    <>
      <div class="page-head">
        <h1>Submit a job</h1>
      </div>
      <form class="submit" onSubmit={submit} noValidate>
        <div class="submit-main">
          <Data form={form} />
          <Refused form={form} />
          <Preview form={form} />
        </div>
        <div class="submit-side">
          <TypeChoice form={form} />
          <Options form={form} />
          <Send form={form} />
        </div>
      </form>
    </>
  );
}
